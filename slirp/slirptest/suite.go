package slirptest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/slirp"
)

// A Suite is a backend under test.
type Suite struct {
	Backend slirp.Backend

	// Config is the network that it is tested with; zero means Config(). Guest is the
	// number of the guest, from 1.
	Config slirp.Config
	Guest  int
}

// patience bounds whatever a test waits for. Nothing depends on how long it is.
const patience = 30 * time.Second

// Run tests the contract.
func Run(t *testing.T, s Suite) {
	if err := s.Backend.Check(); err != nil {
		t.Skip(err)
	}
	if s.Guest == 0 {
		s.Guest = 1
	}
	if !s.Config.IPv4.Prefix.IsValid() {
		s.Config = Config()
	}
	f := s.Backend.Features()
	for _, c := range []struct {
		name string
		test func(*testing.T, Suite)
		if_  bool
	}{
		{"TCP carries data", testTCPData, true},
		{"TCP half-close", testTCPHalfClose, f.HalfClose},
		{"TCP refusals", testTCPRefusals, f.Refusals},
		{"TCP resets", testTCPResets, f.Refusals},
		{"TCP many flows", testTCPMany, true},
		{"UDP", testUDP, true},
		{"UDP refusals", testUDPRefusals, f.Refusals},
		{"UDP idle", testUDPIdle, f.Counters},
		{"ping", testPing, f.Ping},
		{"host out of reach", testHostIsolation, f.HostAddrs},
		{"host aliases", testHostAliases, f.HostAddrs},
		{"publish TCP", testPublishTCP, f.Publish},
		{"publish TCP sources", testPublishSources, f.Publish && f.ClientSource},
		{"publish UDP", testPublishUDP, f.Publish && f.ClientSource},
		{"publish errors", testPublishErrors, f.Publish},
		{"DNS", testDNS, f.DNSHook},
		{"egress", testEgress, f.Egress},
		{"features refused", testFeatures, true},
		{"close", testClose, true},
	} {
		if c.if_ {
			t.Run(c.name, func(t *testing.T) { c.test(t, s) })
		}
	}
}

// start runs a network with cfg for the suite's guest.
func (s Suite) start(t *testing.T, cfg slirp.Config) (*NS, slirp.Network) {
	t.Helper()
	guest, link := s.link(t)
	n, err := s.Backend.Start(t.Context(), link, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	Address(t, guest, "tap0", cfg.WithDefaults(), s.Guest)
	return guest, n
}

// link makes a guest and the wire to it.
func (s Suite) link(t *testing.T) (*NS, slirp.Link) {
	t.Helper()
	guest := NewNS(t)
	link := slirp.Link{NetNS: guest.f, Name: "tap0", Guests: s.addrs()}
	if s.Backend.Features().LiveTAP {
		link.TAP = OpenTAP(t, guest, "tap0", 1)
	}
	return guest, link
}

// addrs are the guest's addresses.
func (s Suite) addrs() (all []netip.Addr) {
	for _, sub := range s.Config.WithDefaults().Subnets() {
		all = append(all, GuestAddr(sub, s.Guest))
	}
	return all
}

// families are those of the configuration, with an address beyond the router, an
// unreachable one, the host's and its loopback.
func (s Suite) families() []family {
	var all []family
	if s.Config.IPv4.Prefix.IsValid() {
		all = append(all, family{"IPv4", s.Config.WithDefaults().IPv4, Far4, Nowhere4, Host4, "127.0.0.1"})
	}
	if s.Config.IPv6.Prefix.IsValid() {
		all = append(all, family{"IPv6", s.Config.WithDefaults().IPv6, Far6, Nowhere6, Host6, "::1"})
	}
	return all
}

type family struct {
	name                         string
	subnet                       slirp.Subnet
	far, nowhere, host, loopback string
}

func dial(t *testing.T, ns *NS, network, addr string) net.Conn {
	t.Helper()
	c, err := ns.Dial(t.Context(), network, addr)
	if err != nil {
		t.Fatalf("dial %s: %v", addr, err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// wantDialError dials and wants one of the errors.
func wantDialError(t *testing.T, ns *NS, addr string, want ...syscall.Errno) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := ns.Dial(ctx, "tcp", addr)
	if err == nil {
		c.Close()
	}
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	t.Errorf("dial %s: %v, want %v", addr, err, want)
}

func join(host, port string) string { return net.JoinHostPort(host, port) }

func portOf(a net.Addr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

// accept accepts one connection in the background.
func accept(t *testing.T, l net.Listener) <-chan *net.TCPConn {
	t.Helper()
	ch := make(chan *net.TCPConn, 1)
	go func() {
		defer close(ch)
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		ch <- c.(*net.TCPConn)
	}()
	t.Cleanup(func() {
		l.Close()
		for c := range ch {
			c.Close()
		}
	})
	return ch
}

// pair is a connection from guest to addr, where l listens.
func pair(t *testing.T, guest *NS, l net.Listener, addr string) (inside, outside *net.TCPConn) {
	t.Helper()
	ch := accept(t, l)
	inside = dial(t, guest, "tcp", addr).(*net.TCPConn)
	outside, ok := <-ch
	if !ok {
		t.Fatal("nobody came")
	}
	t.Cleanup(func() { outside.Close() })
	return inside, outside
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("never: %s", what)
}
