package slirptest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/slirp"
)

// noise is n bytes that are the same for the same seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	return b
}

func testTCPData(t *testing.T, s Suite) {
	for _, mtu := range []int{slirp.MaxMTU, 1500} {
		cfg := s.Config
		cfg.MTU = mtu
		cfg.Host.Addrs = !s.Backend.Features().HostAddrs
		guest, n := s.start(t, cfg)
		for _, f := range s.families() {
			t.Run(fmt.Sprintf("%s MTU %d", f.name, mtu), func(t *testing.T) {
				l := Server().Listen(t, "tcp", join(f.far, "0"))
				in, out := pair(t, guest, l, join(f.far, portOf(l.Addr())))
				exchange(t, in, out, noise(1, 6<<20), noise(2, 5<<20))
			})
		}
		if st := n.Stats(); s.Backend.Features().Counters && (st.BytesOut < 6<<20 || st.BytesIn < 5<<20 || st.TCP.Opened == 0) {
			t.Errorf("counters: %+v", st)
		}
	}
}

// exchange sends up from in to out and down the other way, both at once.
func exchange(t *testing.T, in, out *net.TCPConn, up, down []byte) {
	t.Helper()
	var wg sync.WaitGroup
	for _, w := range []struct {
		from, to *net.TCPConn
		data     []byte
	}{{in, out, up}, {out, in, down}} {
		wg.Go(func() {
			if _, err := w.from.Write(w.data); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			got := make([]byte, len(w.data))
			if n, err := io.ReadFull(w.to, got); err != nil || sha256.Sum256(got) != sha256.Sum256(w.data) {
				t.Errorf("%d of %d bytes arrived, %v; or other bytes", n, len(w.data), err)
			}
		})
	}
	wg.Wait()
}

func testTCPHalfClose(t *testing.T, s Suite) {
	cfg := s.Config
	cfg.Host.Addrs = !s.Backend.Features().HostAddrs
	guest, _ := s.start(t, cfg)
	for _, first := range []string{"guest", "host"} {
		t.Run(first+" first", func(t *testing.T) {
			l := Server().Listen(t, "tcp", join(Far4, "0"))
			in, out := pair(t, guest, l, l.Addr().String())
			a, b := in, out
			if first == "host" {
				a, b = out, in
			}
			if err := a.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(b); err != nil || len(rest) > 0 {
				t.Fatalf("after the other side ended: %q, %v", rest, err)
			}
			// The other direction goes on.
			if _, err := b.Write([]byte("still there")); err != nil {
				t.Fatal(err)
			}
			if err := b.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(a); err != nil || string(rest) != "still there" {
				t.Errorf("got %q, %v", rest, err)
			}
			if err := socketError(b); err != nil {
				t.Errorf("after both ends: %v", err)
			}
		})
	}
}

func testTCPRefusals(t *testing.T, s Suite) {
	guest, n := s.start(t, s.Config)
	for _, f := range s.families() {
		t.Run(f.name, func(t *testing.T) {
			wantDialError(t, guest, join(f.far, "9"), syscall.ECONNREFUSED)
			wantDialError(t, guest, join(f.nowhere, "9"), syscall.EHOSTUNREACH, syscall.ENETUNREACH)
			wantDialError(t, guest, join(f.subnet.Gateway.String(), "9"), syscall.ECONNREFUSED)
		})
	}
	wantDialError(t, guest, join(Unrouted4, "9"), syscall.ENETUNREACH)
	if st := n.Stats().TCP; st.Opened != 0 || st.Failed == 0 || st.Denied == 0 {
		t.Errorf("counters: %+v", st)
	}
}

// socketError is the pending error of c, a reset that nobody has read for example.
func socketError(c *net.TCPConn) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return errors.Join(rc.Control(func(fd uintptr) { err = sys.SocketError(int(fd)) }), err)
}

// testTCPResets closes with SO_LINGER 0, which sends a reset, at one side and wants
// to see it at the other, also when one direction has ended before.
func testTCPResets(t *testing.T, s Suite) {
	guest, n := s.start(t, s.Config)
	for _, c := range []struct {
		who  string
		half string // who ended its direction before
	}{{"guest", ""}, {"host", ""}, {"guest", "host"}, {"host", "guest"}, {"host", "host"}, {"guest", "guest"}} {
		t.Run(c.who+" after half-close by "+c.half, func(t *testing.T) {
			l := Server().Listen(t, "tcp", join(Far4, "0"))
			in, out := pair(t, guest, l, l.Addr().String())
			if half := map[string]*net.TCPConn{"guest": in, "host": out}[c.half]; half != nil {
				if err := half.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				other := map[*net.TCPConn]*net.TCPConn{in: out, out: in}[half]
				if rest, err := io.ReadAll(other); err != nil || len(rest) > 0 {
					t.Fatal(rest, err)
				}
			}
			a, b := in, out
			if c.who == "host" {
				a, b = out, in
			}
			_ = a.SetLinger(0)
			_ = a.Close()
			wantReset(t, b, c.who == c.half)
		})
	}
	eventually(t, "all flows are gone", func() bool { return n.Stats().TCP.Active == 0 })
}

// wantReset wants the connection to be reset. Where it has ended before, reading
// does not show that, but the socket's error does: EPIPE (tcp_reset in the kernel).
// Closing normally would show neither.
func wantReset(t *testing.T, c *net.TCPConn, ended bool) { //nolint:revive // which of two ways to look
	t.Helper()
	if !ended {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v, want a reset", err)
		}
		return
	}
	eventually(t, "a reset", func() bool {
		err := socketError(c)
		return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	})
}

func testTCPMany(t *testing.T, s Suite) {
	cfg := s.Config
	cfg.Host.Addrs = !s.Backend.Features().HostAddrs
	guest, n := s.start(t, cfg)
	l := Server().Listen(t, "tcp", join(Far4, "0"))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	const flows = 100
	var conns []net.Conn
	for range flows {
		conns = append(conns, dial(t, guest, "tcp", l.Addr().String()))
	}
	if s.Backend.Features().Counters {
		// The guest's side is open a moment before ours.
		eventually(t, "all flows are counted", func() bool { return n.Stats().TCP.Active == flows })
	}
	for i, c := range conns {
		want := noise(uint64(i), 5000)
		if _, err := c.Write(want); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("flow %d: %v, or other bytes", i, err)
		}
		c.Close()
	}
	if s.Backend.Features().Counters {
		eventually(t, "all flows are gone", func() bool { return n.Stats().TCP.Active == 0 })
	}
}
