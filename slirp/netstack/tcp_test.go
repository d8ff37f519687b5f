package netstack_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/netstack"
	"github.com/nook-containers/nook/slirp/slirptest"
)

// connected is a connection of a guest: its two ends.
func connected(t *testing.T, cfg slirp.Config) (guest, server *net.TCPConn, n slirp.Network) {
	t.Helper()
	ns, n := slirptest.Start(t, netstack.Backend{}, cfg)
	l := slirptest.Server().Listen(t, "tcp", slirptest.Far4+":0")
	c, err := ns.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn), n //nolint:forcetypeassert // a TCP connection
}

// TestBackPressure fills a connection in each direction whose other end does not read,
// until it takes no more, wants that to be soon, and then every byte to arrive.
func TestBackPressure(t *testing.T) {
	for name, outward := range map[string]bool{"out": true, "in": false} {
		t.Run(name, func(t *testing.T) {
			from, to, _ := connected(t, slirptest.Config())
			if !outward {
				from, to = to, from
			}
			chunk := make([]byte, 1<<20)
			rnd := rand.NewChaCha8([32]byte{1})
			_, _ = rnd.Read(chunk)
			var sent int
			for {
				if err := from.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				n, err := from.Write(chunk)
				sent += n
				if err != nil {
					break
				}
				if sent > 256<<20 {
					t.Fatal("nobody reads, and yet it takes all")
				}
			}
			go func() { _ = from.CloseWrite() }()
			got := 0
			for b := make([]byte, len(chunk)); ; {
				n, err := to.Read(b)
				for i := 0; i < n; {
					at := (got + i) % len(chunk)
					k := min(n-i, len(chunk)-at)
					if !bytes.Equal(b[i:i+k], chunk[at:at+k]) {
						t.Fatalf("other bytes around %d", got+i)
					}
					i += k
				}
				got += n
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if got != sent {
				t.Errorf("%d bytes of %d", got, sent)
			}
		})
	}
}

// TestDataBeforeReset has a server answer and reset the connection at once: the guest
// must get the answer, and then the reset.
func TestDataBeforeReset(t *testing.T) {
	ns, _ := slirptest.Start(t, netstack.Backend{}, slirptest.Config())
	l := slirptest.Server().Listen(t, "tcp", slirptest.Far4+":0")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("answer"))
			_ = c.(*net.TCPConn).SetLinger(0) //nolint:forcetypeassert // a TCP connection
			_ = c.Close()
		}
	}()
	for range 50 {
		c, err := ns.Dial(t.Context(), "tcp", l.Addr().String())
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) {
			continue // it was so fast that the network never had a connection
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(c)
		c.Close()
		if !errors.Is(err, syscall.ECONNRESET) || string(b) != "answer" {
			t.Fatalf("%q, %v, want the answer and a reset", b, err)
		}
	}
}

// TestPortsComeBack connects again and again from one port, a while after the last
// connection from it. At least once the first SYN must be answered: a guest repeats it
// after a second.
func TestPortsComeBack(t *testing.T) {
	ns, _ := slirptest.Start(t, netstack.Backend{}, slirptest.Config())
	l := slirptest.Server().Listen(t, "tcp", slirptest.Far4+":0")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	fast := 0
	for try := range 6 {
		began := time.Now()
		var c net.Conn
		err := ns.Do(func() (err error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{Port: 40000}}
			c, err = d.DialContext(t.Context(), "tcp", l.Addr().String())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if try > 0 && time.Since(began) < time.Second {
			fast++
		}
		_, _ = io.Copy(io.Discard, c)
		c.Close()
		time.Sleep(200 * time.Millisecond)
	}
	if fast == 0 {
		t.Error("each connection from a port that was used took a second")
	}
}
