// Package slirptest is the contract of slirp.Backend as tests, and the little
// world of namespaces that they run in.
//
// The tests of a backend call Main from TestMain, which runs them again as root of
// a new user namespace, with a network namespace that plays the host. No packet
// leaves it. It has
//
//	host            server
//	198.51.100.2 -- 198.51.100.1   203.0.113.10, routed through the first
//	2001:db8::2  -- 2001:db8::1    2001:db8:1::10
//
// and besides 127.0.0.1 and ::1 the routes 192.0.2.0/24 and 2001:db8:2::/64, which
// are unreachable; there is no default route. The guests' namespaces come and go
// with the tests.
package slirptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp"
)

const insideVar = "NOOK_SLIRPTEST_INSIDE"

// Addresses of the world.
const (
	Host4     = "198.51.100.2"
	Host6     = "2001:db8::2"
	Router4   = "198.51.100.1"
	Router6   = "2001:db8::1"
	Far4      = "203.0.113.10"
	Far6      = "2001:db8:1::10"
	Nowhere4  = "192.0.2.1" // no route
	Nowhere6  = "2001:db8:2::1"
	Unrouted4 = "100.64.0.1"
)

// Main is the TestMain of a backend's tests.
func Main(m *testing.M) {
	switch os.Getenv(insideVar) {
	case "build":
		if err := build(); err != nil {
			fmt.Fprintln(os.Stderr, "slirptest:", err)
			os.Exit(1)
		}
		os.Setenv(insideVar, "ready")
		os.Exit(m.Run())
	case "ready": // a process that such a process started: a fuzzing worker
		os.Exit(m.Run())
	}
	code, err := again()
	if err != nil {
		fmt.Fprintln(os.Stderr, "slirptest:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// again runs this program in the namespaces and returns its exit status.
func again() (int, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideVar+"=build")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// server is the namespace beyond the host.
var server *NS

// Server is the namespace of the router and the far addresses.
func Server() *NS { return server }

// build makes the world around the host's namespace, which this process is in.
func build() error {
	f, err := sys.NewNetNS()
	if err != nil {
		return err
	}
	server = &NS{f}
	// Ping sockets are for gid 0, the only group that there is.
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0); err != nil {
		return err
	}
	nl, err := inet.OpenNetlink()
	if err != nil {
		return err
	}
	defer nl.Close()
	up := inet.LinkSetting{Up: true}
	if err := errors.Join(
		nl.SetLink("lo", up), nl.AddVeth("up0", "up1", f), nl.SetLink("up0", up),
		nl.AddAddr("up0", netip.MustParsePrefix(Host4+"/24")), nl.AddAddr("up0", netip.MustParsePrefix(Host6+"/64")),
	); err != nil {
		return err
	}
	if err := server.Configure(func(nl *inet.Netlink) error {
		return errors.Join(
			nl.SetLink("lo", up), nl.SetLink("up1", up),
			nl.AddAddr("up1", netip.MustParsePrefix(Router4+"/24")), nl.AddAddr("up1", netip.MustParsePrefix(Router6+"/64")),
			nl.AddAddr("up1", netip.MustParsePrefix(Far4+"/32")), nl.AddAddr("up1", netip.MustParsePrefix(Far6+"/128")),
		)
	}); err != nil {
		return err
	}
	return errors.Join(
		nl.AddRoute(netip.MustParsePrefix("203.0.113.0/24"), netip.MustParseAddr(Router4), inet.RouteUnicast),
		nl.AddRoute(netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParseAddr(Router6), inet.RouteUnicast),
		nl.AddRoute(netip.MustParsePrefix("192.0.2.0/24"), netip.Addr{}, inet.RouteUnreachable),
		nl.AddRoute(netip.MustParsePrefix("2001:db8:2::/64"), netip.Addr{}, inet.RouteUnreachable),
	)
}

// An NS is a network namespace. Sockets that its methods open stay in it.
type NS struct{ f *os.File }

// NewNS makes a namespace with its loopback up.
func NewNS(tb testing.TB) *NS {
	tb.Helper()
	f, err := sys.NewNetNS()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	ns := &NS{f}
	ns.MustConfigure(tb, func(nl *inet.Netlink) error { return nl.SetLink("lo", inet.LinkSetting{Up: true}) })
	return ns
}

// File is open on the namespace.
func (n *NS) File() *os.File { return n.f }

// Do runs fn inside.
func (n *NS) Do(fn func() error) error { return sys.InNetNS(n.f, fn) }

// Configure gives fn a routing socket inside.
func (n *NS) Configure(fn func(*inet.Netlink) error) error {
	return n.Do(func() error {
		nl, err := inet.OpenNetlink()
		if err != nil {
			return err
		}
		defer nl.Close()
		return fn(nl)
	})
}

// MustConfigure is Configure that fails tb.
func (n *NS) MustConfigure(tb testing.TB, fn func(*inet.Netlink) error) {
	tb.Helper()
	if err := n.Configure(fn); err != nil {
		tb.Fatal(err)
	}
}

// Dial connects from inside.
func (n *NS) Dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	err = n.Do(func() (err error) {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

// Listen listens inside and closes with tb.
func (n *NS) Listen(tb testing.TB, network, addr string) net.Listener {
	tb.Helper()
	var l net.Listener
	in := func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(tb.Context(), network, addr)
		return err
	}
	if err := n.do(in); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

// ListenPacket binds inside and closes with tb.
func (n *NS) ListenPacket(tb testing.TB, network, addr string) *net.UDPConn {
	tb.Helper()
	var c net.PacketConn
	in := func() (err error) {
		c, err = (&net.ListenConfig{}).ListenPacket(tb.Context(), network, addr)
		return err
	}
	if err := n.do(in); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

// do runs fn inside; the nil NS is the host.
func (n *NS) do(fn func() error) error {
	if n == nil {
		return fn()
	}
	return n.Do(fn)
}

// Host is the host: this process's own namespace. Its Listen and ListenPacket
// work.
func Host() *NS { return nil }

// Start runs cfg with b for one guest, configured with the second address of each
// subnet, and closes it with tb.
func Start(tb testing.TB, b slirp.Backend, cfg slirp.Config) (*NS, slirp.Network) {
	tb.Helper()
	guest := NewNS(tb)
	link := slirp.Link{NetNS: guest.f, Name: "tap0"}
	if b.Features().LiveTAP {
		link.TAP = OpenTAP(tb, guest, "tap0", 1)
	}
	n, err := b.Start(tb.Context(), link, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	var once sync.Once
	tb.Cleanup(func() {
		once.Do(func() {
			if err := n.Close(); err != nil {
				tb.Errorf("close: %v", err)
			}
		})
	})
	Address(tb, guest, "tap0", cfg.WithDefaults(), 1)
	return guest, n
}

// OpenTAP makes a TAP in ns.
func OpenTAP(tb testing.TB, ns *NS, name string, queues int) (files []*os.File) {
	tb.Helper()
	if err := ns.Do(func() (err error) {
		files, err = sys.OpenTAP(name, queues)
		return err
	}); err != nil {
		tb.Fatal(err)
	}
	return files
}

// GuestAddr is the address of guest number i, from 1, in s.
func GuestAddr(s slirp.Subnet, i int) netip.Addr {
	a := s.Gateway
	for range i {
		a = a.Next()
	}
	return a
}

// Address configures link in ns as guest number i of cfg.
func Address(tb testing.TB, ns *NS, link string, cfg slirp.Config, i int) {
	tb.Helper()
	ns.MustConfigure(tb, func(nl *inet.Netlink) error {
		errs := []error{nl.SetLink(link, inet.LinkSetting{Up: true, MTU: cfg.MTU})}
		for _, s := range cfg.Subnets() {
			everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
			if s.Gateway.Is6() {
				everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			}
			errs = append(errs,
				nl.AddAddr(link, netip.PrefixFrom(GuestAddr(s, i), s.Prefix.Bits())),
				nl.AddRoute(everything, s.Gateway, inet.RouteUnicast))
		}
		return errors.Join(errs...)
	})
}

// Config is a network of both families, 10.88.0.0/24 and fd88::/64.
func Config() slirp.Config {
	return slirp.Config{
		IPv4: slirp.Subnet{Prefix: netip.MustParsePrefix("10.88.0.0/24")},
		IPv6: slirp.Subnet{Prefix: netip.MustParsePrefix("fd88::/64")},
	}
}
