// Package bridge is the kernel's half of a network: a bridge in a network
// namespace of its own, and a pair of interfaces for each guest.
//
// # Theory of operation
//
// The namespace of the network has a bridge, the TAP of the user-mode stack, and
// one interface per guest, all of them ports of the bridge and none with an
// address: the gateway's address is the stack's. So nothing in this namespace
// speaks IP, nothing is forwarded, and there are no firewall rules to keep. A
// guest's interface is the other end of its port; it has fixed addresses, and a
// default route through the gateway. Two networks are two namespaces, with nothing
// in between.
//
// A Guest is what is wanted; steps turns it into a list of what to do in which of
// the two namespaces, and Plug does that. Who plugs needs CAP_NET_ADMIN over both
// namespaces, which root of the user namespace that owns them has, or of one
// above.
package bridge

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/inet"
)

// A Network is a bridge and the TAP at it.
type Network struct {
	Bridge string // at most 15 bytes, as every interface's name
	TAP    string
	MTU    int // bytes
}

// A Guest is one interface in a container's network namespace.
type Guest struct {
	Port      string // the other end's name, at the bridge
	Interface string
	MAC       [6]byte
	MTU       int            // bytes
	Addrs     []netip.Prefix // with the subnets' lengths
	Gateways  []netip.Addr   // for default routes; empty: none
	Metric    uint32         // of those routes: the lowest wins
	Isolated  bool           // from other isolated guests
}

// MaxName is how long an interface's name may be, in bytes (IFNAMSIZ less the
// terminating zero, linux/if.h).
const MaxName = 15

// Validate reports what the kernel would refuse, or take for something else.
func (g Guest) Validate() error {
	var errs []error
	for _, name := range []string{g.Port, g.Interface} {
		errs = append(errs, CheckName(name))
	}
	if len(g.Addrs) == 0 {
		errs = append(errs, errors.New("no address"))
	}
	if g.MAC[0]&1 != 0 {
		errs = append(errs, fmt.Errorf("hardware address %x: is a multicast address", g.MAC))
	}
	for _, gw := range g.Gateways {
		if !slices.ContainsFunc(g.Addrs, func(p netip.Prefix) bool { return p.Contains(gw) }) {
			errs = append(errs, fmt.Errorf("gateway %s: not in a subnet of the guest", gw))
		}
	}
	return errors.Join(errs...)
}

// CheckName says what is wrong with the name of an interface (dev_valid_name in
// the kernel).
func CheckName(name string) error {
	bad := name == "" || len(name) > MaxName || name == "." || name == ".."
	for _, c := range []byte(name) {
		bad = bad || c == '/' || c == ':' || c <= ' ' || c == 0x7f
	}
	if bad {
		return fmt.Errorf("interface name %q: want 1 to %d characters, without / : and blanks", name, MaxName)
	}
	return nil
}

// A place is one of the two namespaces.
type place bool

const (
	inNetwork place = false
	inGuest   place = true
)

// A step is one change.
type step struct {
	place
	kind stepKind
	link string
	addr netip.Prefix // addAddr, and the destination of addRoute
	via  netip.Addr
}

type stepKind uint8

const (
	addPair stepKind = iota
	isolate
	addAddr
	linkUp
	addRoute
)

// steps are what makes g a guest, in order. The guest's interface comes up
// after it has its addresses, its port before.
func steps(g Guest) []step {
	out := []step{{place: inNetwork, kind: addPair, link: g.Port}}
	if g.Isolated {
		out = append(out, step{place: inNetwork, kind: isolate, link: g.Port})
	}
	for _, a := range g.Addrs {
		out = append(out, step{place: inGuest, kind: addAddr, link: g.Interface, addr: a})
	}
	out = append(out, step{place: inGuest, kind: linkUp, link: g.Interface})
	for _, gw := range g.Gateways {
		out = append(out, step{place: inGuest, kind: addRoute, addr: netip.PrefixFrom(unspecified(gw), 0), via: gw})
	}
	return out
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// A Switch changes the ports of one bridge.
type Switch struct {
	net   Network
	nl    *inet.Netlink // in the network's namespace
	index uint32        // of the bridge
}

// Open makes the bridge in namespace ns unless it is there, and opens it.
func Open(ns *os.File, n Network) (*Switch, error) {
	if err := errors.Join(CheckName(n.Bridge), CheckName(n.TAP)); err != nil {
		return nil, err
	}
	nl, err := netlinkIn(ns, quiet)
	if err != nil {
		return nil, err
	}
	s := &Switch{net: n, nl: nl}
	err = nl.AddBridge(n.Bridge)
	if err == nil {
		err = nl.SetLink(n.Bridge, inet.LinkSetting{Up: true, MTU: n.MTU})
	}
	if err == nil || errors.Is(err, syscall.EEXIST) {
		s.index, err = nl.LinkIndex(n.Bridge)
	}
	if err != nil {
		return nil, errors.Join(explain(err, "bridge"), nl.Close())
	}
	return s, nil
}

// quiet keeps the kernel from giving the interfaces of this thread's namespace
// IPv6 addresses: they are ports. Where it can't be told, because there is no IPv6
// or /proc is read-only, they get link-local ones, at which nothing listens.
func quiet() { _ = sys.WriteProc("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1") }

// fixed keeps the next interfaces of this thread's namespace from asking for
// routers, and from believing who says to be one, which any guest could. Their
// addresses and routes are given. Where it can't be told there is no IPv6, or the
// kernel's default stays.
func fixed() { _ = sys.WriteProc("/proc/sys/net/ipv6/conf/default/accept_ra", "0") }

// netlinkIn opens a routing socket in ns, after first ran there.
func netlinkIn(ns *os.File, first func()) (nl *inet.Netlink, err error) {
	err = sys.InNetNS(ns, func() (err error) {
		first()
		nl, err = inet.OpenNetlink()
		return err
	})
	return nl, err
}

// Close forgets the bridge, which stays.
func (s *Switch) Close() error { return s.nl.Close() }

// AttachTAP makes the TAP, which is there, a port.
func (s *Switch) AttachTAP() error {
	return s.nl.SetLink(s.net.TAP, inet.LinkSetting{Up: true, Master: s.net.Bridge, MTU: s.net.MTU})
}

// Plug makes the guest in namespace ns one of the network, and returns the index of
// its port. Nothing is left of one that failed. EEXIST: the port is there, or the
// interface.
func (s *Switch) Plug(ns *os.File, g Guest) (port uint32, err error) {
	if err := g.Validate(); err != nil {
		return 0, err
	}
	inside, err := netlinkIn(ns, fixed)
	if err != nil {
		return 0, err
	}
	defer inside.Close()
	defer func() {
		if err != nil && port != 0 {
			err = errors.Join(err, s.Unplug(port))
		}
	}()
	for _, st := range steps(g) {
		nl := s.nl
		if st.place == inGuest {
			nl = inside
		}
		if err := s.apply(nl, st, g, ns); err != nil {
			return port, explain(err, "veth")
		}
		if st.kind == addPair {
			if port, err = s.nl.LinkIndex(g.Port); err != nil {
				return 0, err
			}
		}
	}
	return port, nil
}

func (s *Switch) apply(nl *inet.Netlink, st step, g Guest, ns *os.File) error {
	switch st.kind {
	case addPair:
		return nl.AddVethPair(
			inet.VethEnd{Name: g.Port, MTU: g.MTU, Master: s.index, Up: true},
			inet.VethEnd{Name: g.Interface, NS: ns, MAC: g.MAC, MTU: g.MTU})
	case isolate:
		return nl.IsolatePort(st.link)
	case addAddr:
		return nl.AddAddr(st.link, st.addr)
	case linkUp:
		return nl.SetLink(st.link, inet.LinkSetting{Up: true})
	case addRoute:
		return nl.AddRouteMetric(st.addr, st.via, g.Metric)
	}
	return fmt.Errorf("plug %s: step %d is unknown", g.Port, st.kind)
}

// Unplug removes a port and the guest's interface, at once as guests see it. It is
// no error if they are gone, with the guest's namespace for instance.
func (s *Switch) Unplug(port uint32) error {
	err := s.nl.DeleteLinkIndex(port)
	if errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return err
}

// Port finds the port of that name; 0: there is none.
func (s *Switch) Port(name string) uint32 {
	index, err := s.nl.LinkIndex(name)
	if err != nil {
		return 0
	}
	return index
}

// explain adds what to do where the kernel lacks a kind of interface.
func explain(err error, module string) error {
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return problem.Hint(fmt.Errorf("%w (this kernel has no %s)", err, module),
			"run: sudo modprobe %s; or add: --network none, or --network host", module)
	}
	return err
}
