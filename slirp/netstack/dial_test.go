package netstack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp/forward"
	"github.com/nook-containers/nook/slirp/internal/loop"
	"github.com/nook-containers/nook/slirp/slirptest"
)

func newLoop(t *testing.T) *loop.Loop {
	t.Helper()
	l, err := loop.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// TestDialWaits dials an address of the server's link that nobody has.
func TestDialWaits(t *testing.T) {
	l := newLoop(t)
	nobody := netip.MustParseAddrPort("198.51.100.77:7")
	if _, err := dialTCP(t.Context(), l, nobody, 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, want a time-out", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := dialTCP(ctx, l, nobody, time.Minute); forward.OutcomeOf(err) != forward.Dropped {
		t.Errorf("%v, want it to be given up", err)
	}
	if _, err := dialTCP(t.Context(), l, nobody, time.Minute); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("%v, want no route", err)
	}
}

// TestDialLater dials somebody who answers late.
func TestDialLater(t *testing.T) {
	const late = "198.51.100.78"
	l := newLoop(t)
	srv := slirptest.Server().Listen(t, "tcp", "0.0.0.0:0")
	port := srv.Addr().(*net.TCPAddr).AddrPort().Port() //nolint:forcetypeassert // a TCP listener
	time.AfterFunc(100*time.Millisecond, func() {
		if err := slirptest.Server().Configure(func(nl *inet.Netlink) error {
			return nl.AddAddr("up1", netip.MustParsePrefix(late+"/32"))
		}); err != nil {
			t.Error(err)
		}
	})
	c, err := dialTCP(t.Context(), l, netip.AddrPortFrom(netip.MustParseAddr(late), port), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close(l)
	s, err := srv.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c.shut()
	if n, err := s.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d, %v, want the end of file", n, err)
	}
	c.reset(l)
	if _, err := s.Write([]byte("x")); err == nil {
		if _, err = s.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v, want a reset", err)
		}
	}
}

// TestDialItself dials a port where nobody listens while the kernel has no other for
// the dialling end: the connection would be one with itself.
func TestDialItself(t *testing.T) {
	l := newLoop(t)
	const ports = "/proc/sys/net/ipv4/ip_local_port_range"
	before, err := os.ReadFile(ports)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ports, []byte("40000 40000"), 0); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.WriteFile(ports, before, 0); err != nil {
			t.Error(err)
		}
	}()
	if _, err := dialTCP(t.Context(), l, netip.MustParseAddrPort("127.0.0.1:40000"), time.Minute); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, want a refusal", err)
	}
}
