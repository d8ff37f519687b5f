package netstack

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/nook-containers/nook/slirp/internal/relay"
	"github.com/nook-containers/nook/slirp/slirptest"
)

// lossy loses some of the segments in either direction.
type lossy struct {
	relay.Network
	receiver
	rnd  *rand.Rand
	lost int
}

func (l *lossy) lose() bool {
	if l.rnd.IntN(20) > 0 {
		return false
	}
	l.lost++
	return true
}

func (l *lossy) Send(frame []byte, from, to netip.AddrPort, mss int) {
	if !l.lose() {
		l.Network.Send(frame, from, to, mss)
	}
}

func (l *lossy) segment(v *view, head []byte, parts [2][]byte) bool {
	return l.lose() || l.receiver.segment(v, head, parts)
}

// TestLoss moves data both ways at one time over a link that loses one segment in twenty,
// and wants every byte to arrive.
func TestLoss(t *testing.T) {
	cfg := slirptest.Config()
	cfg.MTU = 1500
	guest, started := slirptest.Start(t, Backend{}, cfg)
	n := started.(*network) //nolint:forcetypeassert // this backend's
	l := &lossy{rnd: rand.New(rand.NewPCG(1, 2))}
	if err := n.loop.Sync(func() error {
		l.Network, l.receiver = n.relay.Network, n.link.recv
		n.relay.Network, n.link.recv = l, l
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	srv := slirptest.Server().Listen(t, "tcp", slirptest.Far4+":0")
	for range 4 {
		c, err := guest.Dial(t.Context(), "tcp", srv.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		s, err := srv.Accept()
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, c, s)
	}
	if err := n.loop.Sync(func() error {
		if l.lost == 0 {
			t.Error("nothing was lost")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// exchange sends 2 MiB each way, and the ends.
func exchange(t *testing.T, a, b net.Conn) {
	t.Helper()
	defer a.Close()
	defer b.Close()
	data := make([]byte, 2<<20)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(data)
	want := sha256.Sum256(data)
	for _, c := range []net.Conn{a, b} {
		go func() {
			_, _ = io.Copy(c, bytes.NewReader(data))
			_ = c.(*net.TCPConn).CloseWrite() //nolint:forcetypeassert // a TCP connection
		}()
	}
	errs := make(chan error, 2)
	for _, c := range []net.Conn{a, b} {
		go func() {
			h := sha256.New()
			_, err := io.Copy(h, c)
			if err == nil && [32]byte(h.Sum(nil)) != want {
				err = io.ErrUnexpectedEOF
			}
			errs <- err
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
