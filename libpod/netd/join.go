package netd

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/pkg/bridge"
	"github.com/nook-containers/nook/pkg/cleanup"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/netstack"
)

// Names of interfaces in the network's namespace.
const (
	bridgeName = "br0"
	tapName    = "tap0"
	portPrefix = "n" // of a guest's port
)

// prepare starts the stack for a member to come.
func (s *server) prepare(r member.Request) error {
	if r.Network == nil {
		return errors.New("prepare: the request is not complete")
	}
	s.awaitNamespace("")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stack != nil {
		return nil
	}
	return s.start(r, nil)
}

// join makes a container a member. files are its namespace, and that of the
// network where it knows one.
func (s *server) join(conn *sys.PacketConn, r member.Request, files []*os.File) (_ *membership, err error) {
	if r.Member == nil || r.Network == nil || len(files) == 0 {
		return nil, errors.New("join: the request is not complete")
	}
	if len(files) < 2 {
		s.awaitNamespace(r.Member.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var undo cleanup.Stack
	defer undo.RunOnError(&err)
	if s.stack == nil {
		if err := s.start(r, files[1:]); err != nil {
			return nil, err
		}
	}
	m := &membership{Member: *r.Member, conn: conn, gone: make(chan struct{})}
	if m.rights, err = newRights(m.Member, s.network); err != nil {
		return nil, err
	}
	if err := s.checkAddrs(m); err != nil {
		return nil, err
	}
	s.guests.add(m.rights) // before it can send
	undo.Push("forget the guest", func() error { s.guests.remove(m.rights); return nil })
	if err := s.connect(m, files, &undo); err != nil {
		return nil, err
	}
	undo.Push("unpublish", func() error { s.unpublish(m); return nil })
	if err := s.publish(m, r.Ports); err != nil {
		return nil, err
	}
	s.members[m.ID] = m
	s.note()
	return m, nil
}

// checkAddrs finds another member with an address of m.
func (s *server) checkAddrs(m *membership) error {
	for _, other := range s.members {
		if other.ID != m.ID && (m.IPv4 != "" && other.IPv4 == m.IPv4 || m.IPv6 != "" && other.IPv6 == m.IPv6) {
			return fmt.Errorf("network %s: %s has the address of %s", s.network.Name, other.Name, m.Name)
		}
	}
	return nil
}

// connect gives m its interface, if it has none yet.
func (s *server) connect(m *membership, files []*os.File, undo *cleanup.Stack) error {
	g, err := guestOf(s.network, m.Member)
	if err != nil {
		return err
	}
	port := s.bridge.Port(g.Port)
	if m.Again && port != 0 && s.sameNS(files[1:]) {
		if old := s.members[m.ID]; old != nil {
			s.forget(old) // its interface stays
		}
		m.port = port
		return nil
	}
	if err := s.plug(m, g, files[0], port); err != nil {
		return err
	}
	undo.Push("unplug", func() error { return s.bridge.Unplug(m.port) })
	return nil
}

// plug gives m its interface, in place of what is left of an earlier membership:
// the port old, and the container's end of one in a network's namespace that is
// lost.
func (s *server) plug(m *membership, g bridge.Guest, ns *os.File, old uint32) (err error) {
	if before := s.members[m.ID]; before != nil {
		s.forget(before)
	}
	if old != 0 {
		if err := s.bridge.Unplug(old); err != nil {
			return err
		}
	}
	if m.port, err = s.bridge.Plug(ns, g); m.Again && errors.Is(err, syscall.EEXIST) {
		_ = unplugIn(ns, g.Interface)
		m.port, err = s.bridge.Plug(ns, g)
	}
	return err
}

// unplugIn removes an interface of a container.
func unplugIn(ns *os.File, link string) error {
	return sys.InNetNS(ns, func() error {
		nl, err := inet.OpenNetlink()
		if err != nil {
			return err
		}
		defer nl.Close()
		return nl.DeleteLink(link)
	})
}

// drop ends a membership that is there; nil is none. Nobody waits for the kernel,
// which takes its time to remove the interface: it knows it by its index, so that
// it is not taken for the next one of that name.
func (s *server) drop(m *membership) {
	if m == nil || s.members[m.ID] != m {
		return
	}
	s.forget(m)
	go func() {
		if err := s.bridge.Unplug(m.port); err != nil && !errors.Is(err, os.ErrClosed) {
			s.log.Error("unplug", "container", m.Name, "error", err)
		}
	}()
	s.note()
}

// forget ends a membership, but for its interface.
func (s *server) forget(m *membership) {
	s.unpublish(m)
	s.guests.remove(m.rights)
	delete(s.members, m.ID)
	close(m.gone)
}

// sameNS reports whether the network's namespace is the first of files.
func (s *server) sameNS(files []*os.File) bool {
	if len(files) == 0 {
		return false
	}
	a, err := files[0].Stat()
	if err != nil {
		return false
	}
	b, err := s.ns.Stat()
	return err == nil && os.SameFile(a, b)
}

// PortName is the name of a container's port at the bridge.
func PortName(id string) string {
	sum := sha256.Sum256([]byte(id))
	return portPrefix + hex.EncodeToString(sum[:])[:12]
}

// guestOf is m as the kernel is to have it.
func guestOf(n spec.Network, m member.Member) (bridge.Guest, error) {
	g := bridge.Guest{
		Port: PortName(m.ID), Interface: m.Interface, MAC: m.MAC, MTU: m.MTU, Isolated: n.NoPeers,
		Metric: uint32(baseMetric + m.Order), //nolint:gosec // a place in a list
	}
	if g.MTU == 0 {
		g.MTU = mtuOf(n)
	}
	for _, text := range []spec.Addr{m.IPv4, m.IPv6} {
		if text == "" {
			continue
		}
		a, err := ip.ParseAddr(text)
		if err != nil {
			return g, fmt.Errorf("network %s: %w", n.Name, err)
		}
		sub, ok := ip.SubnetOf(n, a.Is6())
		if !ok || !sub.Prefix.Contains(a) {
			return g, fmt.Errorf("network %s: %s is none of its addresses", n.Name, a)
		}
		g.Addrs = append(g.Addrs, netip.PrefixFrom(a, sub.Prefix.Bits()))
		if !n.Internal && !n.NoDefaultRoute {
			g.Gateways = append(g.Gateways, sub.Gateway)
		}
	}
	return g, g.Validate()
}

// baseMetric is the metric of the first network's default route; each further one
// is less wanted. Docker's and podman's.
const baseMetric = 100

func mtuOf(n spec.Network) int {
	if n.MTU != 0 {
		return n.MTU
	}
	return slirp.MaxMTU
}

// start makes the network, in the namespace of a former process if there is one.
func (s *server) start(r member.Request, inherited []*os.File) (err error) {
	n := *r.Network
	var undo cleanup.Stack
	defer undo.RunOnError(&err)
	ns, err := namespace(inherited)
	if err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	undo.Push("close the namespace", ns.Close)
	kernel := bridge.Network{Bridge: cmp.Or(n.Bridge, bridgeName), TAP: tapName, MTU: mtuOf(n)}
	sw, err := bridge.Open(ns, kernel)
	if err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	undo.Push("close the bridge", sw.Close)
	taps, err := openTAP(s.ctx, ns)
	if err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	link := slirp.Link{TAP: taps}
	if err = sw.AttachTAP(); err != nil {
		return errors.Join(fmt.Errorf("network %s: %w", n.Name, err), taps[0].Close())
	}
	s.network, s.events = n, events.Of(storeOf(r))
	if len(inherited) > 0 || anyLeft(s.dir, "") {
		s.guests.inherited()
	}
	stack, err := netstack.Backend{}.Start(s.ctx, link, s.config(r))
	if err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	s.ns, s.bridge, s.stack = ns, sw, stack
	if len(inherited) > 0 {
		close(s.inherits)
	}
	go func() {
		<-stack.Done()
		s.finish() // members start another
	}()
	return nil
}

// namespace is the first of inherited, to keep, or a new one.
func namespace(inherited []*os.File) (*os.File, error) {
	if len(inherited) == 0 {
		return sys.NewNetNS()
	}
	return sys.Duplicate(inherited[0])
}

// openTAP makes the TAP. That of a former process that was killed just now may be
// there for a moment.
func openTAP(ctx context.Context, ns *os.File) (taps []*os.File, err error) {
	ctx, cancel := context.WithTimeout(ctx, inherit)
	defer cancel()
	for {
		err = sys.InNetNS(ns, func() (err error) {
			taps, err = sys.OpenTAP(tapName, 1)
			return err
		})
		if !errors.Is(err, syscall.EBUSY) {
			return taps, explainTAP(err)
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// explainTAP says what to do where the host has no TAP devices.
func explainTAP(err error) error {
	const otherwise = "or add: --network none, or --network host"
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return problem.Hint(err, "run: sudo modprobe tun; %s", otherwise)
	case errors.Is(err, fs.ErrPermission):
		return problem.Hint(err, "run: sudo chmod 0666 /dev/net/tun; %s", otherwise)
	}
	return err
}

// note has who is a member kept, soon, for a process that has to take over.
func (s *server) note() { s.notes.Reset(noteAfter) }

// writeNote keeps who is a member.
func (s *server) writeNote() {
	s.mu.Lock()
	list := make([]past, 0, len(s.members))
	for _, m := range s.members {
		list = append(list, past{m.ID, m.PID})
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b past) int { return a.PID - b.PID })
	if err := writePast(s.dir, list); err != nil {
		s.log.Error("keep the list of members", "error", err)
	}
}

// awaitNamespace waits for a member of a former process with the namespace, if
// there are any but id.
func (s *server) awaitNamespace(id string) {
	s.mu.Lock()
	started := s.stack != nil
	s.mu.Unlock()
	if started || !anyLeft(s.dir, id) {
		return
	}
	select {
	case <-s.inherits:
	case <-time.After(inherit):
	case <-s.ctx.Done():
	}
}
