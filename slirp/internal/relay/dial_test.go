package relay

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp/forward"
	"github.com/nook-containers/nook/slirp/slirptest"
)

// takeFD takes over the descriptor of c.
func takeFD(t *testing.T, c net.Conn) int {
	t.Helper()
	f, err := c.(*net.TCPConn).File() //nolint:forcetypeassert // a TCP connection
	if err != nil {
		t.Fatal(err)
	}
	fd, err := sys.TakeFD(f)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// ended waits until nothing is being opened, and returns the ICMP errors.
func (w *world) ended() []forward.Outcome {
	w.t.Helper()
	for end := time.Now().Add(patient); w.r.Half.Count() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("it is still being opened")
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.icmp)
}

// TestDialWaits dials an address of the server's link that nobody has.
func TestDialWaits(t *testing.T) {
	nobody := netip.MustParseAddrPort("198.51.100.77:7")
	syn := seg{seq: 7, flags: flagSYN}
	for name, wait := range map[string]time.Duration{"time-out": tick, "no route": time.Minute} {
		w := newWorld(t, func(c *Config) { c.ConnectWait = wait })
		w.dst = nobody
		w.send(syn)
		if n := w.r.Half.Count(); n != 1 {
			t.Errorf("%s: %d are being opened, want 1", name, n)
		}
		w.send(syn)
		w.nothing()
		if got := w.ended(); !slices.Equal(got, []forward.Outcome{forward.HostUnreachable}) || w.count(Failed) != 1 {
			t.Errorf("%s: %v", name, got)
		}
	}
	w := newWorld(t, nil)
	w.dst = nobody
	w.send(syn)
	w.send(seg{seq: 8, flags: flagRST}) // the guest does not wait
	if got := w.ended(); got != nil {
		t.Errorf("%v, want nothing", got)
	}
	w.nothing()
}

// TestDialLater dials somebody who answers late.
func TestDialLater(t *testing.T) {
	const late = "198.51.100.78"
	w := newWorld(t, nil)
	srv := slirptest.Server().Listen(t, "tcp", "0.0.0.0:0")
	w.dst = netip.AddrPortFrom(netip.MustParseAddr(late), srv.Addr().(*net.TCPAddr).AddrPort().Port()) //nolint:forcetypeassert // a TCP listener
	time.AfterFunc(100*time.Millisecond, func() {
		if err := slirptest.Server().Configure(func(nl *inet.Netlink) error {
			return nl.AddAddr("up1", netip.MustParsePrefix(late+"/32"))
		}); err != nil {
			t.Error(err)
		}
	})
	p := w.dial(30000)
	s, err := srv.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	p.take("late")
}

// TestDialItself dials a port where nobody listens while the kernel has no other for
// the dialling end: the connection would be one with itself.
func TestDialItself(t *testing.T) {
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
	w := newWorld(t, nil)
	w.dst = netip.MustParseAddrPort("127.0.0.1:40000")
	w.send(seg{seq: 7, flags: flagSYN})
	if s := w.want(flagRST|flagACK, ""); s.ack != 8 {
		t.Errorf("%+v, want a refusal", s)
	}
}
