// Package netstack is the backend that lives in this process: a socket of the host for
// each flow of the guests at the end of a TAP, and gVisor's TCP/IP stack.
//
// # Theory of operation
//
// The link reads frames and looks at each before the stack sees it. It drops what
// claims an impossible source, answers ARP and neighbour discovery for the
// addresses that are ours, and hands whole UDP datagrams and echo requests to their
// flows directly, and TCP segments to the relay (package relay). Only what is left
// reaches the stack: fragments, echo requests to us, and TCP to where guests ask for
// names. So the stack may take every destination for its own (promiscuous), and send
// from any address (spoofing), without ever speaking for a guest.
//
// One goroutine, the loop (package loop), watches the TAP and the sockets of all TCP
// flows. It reads frames, and a flow whose socket has changed has its turn there: to wake
// a goroutine for each byte's way would cost more than the way.
//
// UDP: a flow is a pair of addresses and ports. The reader of the TAP sends on the
// flow's connected socket; a goroutine per flow brings answers back, and ICMP
// errors of the host's side become ICMP errors of the guest's.
//
// Published ports: a client's connection is opened inside from the client's own
// address, so the guest answers to it through its default route, the TAP.
//
// What a guest can make the process hold is bounded by slirp.Limits: flows by
// gates, each with a share per guest; what TCP holds by a budget that the relay divides.
package netstack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/nook-containers/nook/pkg/cleanup"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/forward"
	"github.com/nook-containers/nook/slirp/internal/loop"
	"github.com/nook-containers/nook/slirp/internal/relay"
)

const nicID tcpip.NICID = 1

// Backend is the netstack backend.
type Backend struct{}

var _ slirp.Backend = Backend{}

// Name is "netstack".
func (Backend) Name() string { return "netstack" }

// Check succeeds: nothing but a TAP is needed.
func (Backend) Check() error { return nil }

// Features are all that there are.
func (Backend) Features() slirp.Features {
	return slirp.Features{
		ManyGuests: true, LiveTAP: true, IPv6: true, Ping: true, Publish: true, ClientSource: true, DNSHook: true,
		Egress: true, HostAddrs: true, HalfClose: true, Refusals: true, Counters: true,
	}
}

// network is a running stack.
type network struct {
	cfg   slirp.Config
	stack *stack.Stack
	link  *link
	loop  *loop.Loop
	rules *forward.Rules
	route *inet.Netlink
	stats counters
	slow  *throttle

	ctx    context.Context //nolint:containedctx // the life of the network, which outlives Start
	cancel context.CancelFunc
	work   sync.WaitGroup // every goroutine but the link's readers

	half  *forward.Gate // TCP connections that are being opened
	open  *forward.Gate // and those that are open
	relay *relay.Relay
	udp   udpFlows
	batch batch
	ping  pingFlows
	dns   *forward.Gate
	ports ports

	awake   bool          // the loop looks before it sleeps; of the loop
	stirred atomic.Bool   // something has happened since Calm
	look    chan struct{} // for sweep

	closing sync.Once
	ending  sync.Mutex
	ended   bool
	done    chan struct{}
	err     error // valid after done
}

// Start runs a stack on link.TAP.
func (Backend) Start(ctx context.Context, l slirp.Link, cfg slirp.Config) (_ slirp.Network, err error) {
	var undo cleanup.Stack
	defer undo.RunOnError(&err)
	taps, err := takeTAP(l)
	if err != nil {
		return nil, err
	}
	undo.Push("close TAP", func() error { return closeAll(taps) })
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	route, err := inet.OpenNetlink()
	if err != nil {
		return nil, err
	}
	undo.Push("close routing socket", route.Close)
	n := newNetwork(ctx, cfg, route)
	n.link.fds = taps
	if n.loop, err = loop.Start(n.sleeps); err != nil {
		return nil, err
	}
	undo.Push("end loop", n.loop.Close)
	n.link.loop = n.loop
	_ = n.loop.Sync(func() error { n.relay = n.newRelay(); return nil }) // where it is used
	if err := n.newStack(); err != nil {
		return nil, err
	}
	if err := n.link.start(); err != nil {
		n.closeStack()
		return nil, err
	}
	n.work.Go(n.sweep)
	undo = cleanup.Stack{} // from here on Close does it
	for _, p := range cfg.Ports {
		if _, err := n.Publish(ctx, p); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

func newNetwork(ctx context.Context, cfg slirp.Config, route *inet.Netlink) *network {
	lim := cfg.Limits
	n := &network{
		look: make(chan struct{}, 1),
		cfg:  cfg, route: route, rules: forward.NewRules(cfg, route.RouteTo),
		dns: forward.NewGate(lim.DNSQueries, lim.Share(lim.DNSQueries)), slow: newThrottle(cfg.Log), done: make(chan struct{}),
	}
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	n.half = forward.NewGate(lim.TCPHalfOpen, lim.Share(lim.TCPHalfOpen))
	n.open = forward.NewGate(lim.TCPFlows, lim.Share(lim.TCPFlows))
	n.udp.init(lim)
	n.ping.init(lim)
	f := newFilter(cfg)
	neigh := newNeighbours(lim.Neighbours)
	n.link = &link{mtu: cfg.MTU, filter: f, neigh: neigh, recv: n, stats: &n.stats, broken: func(err error) { go n.shut(err) }, stir: n.stir}
	neigh.ask, neigh.send = n.link.solicit, n.link.sendWaited
	neigh.fail = func(a netip.Addr, lost int) {
		n.stats.limited.Add(uint64(lost)) //nolint:gosec // a count
		n.loop.Do(loop.Func(func() { n.relay.Away(a) }))
	}
	return n
}

// takeTAP takes over the files of l.TAP.
func takeTAP(l slirp.Link) ([]int, error) {
	if len(l.TAP) == 0 {
		return nil, errors.New("network: no TAP")
	}
	var taps []int
	for i, f := range l.TAP {
		tap, err := sys.TakeFD(f)
		if err != nil {
			errs := []error{err, closeAll(taps)}
			for _, f := range l.TAP[i+1:] {
				errs = append(errs, f.Close())
			}
			return nil, errors.Join(errs...)
		}
		taps = append(taps, tap)
	}
	return taps, nil
}

func closeAll(fds []int) error {
	var errs []error
	for _, fd := range fds {
		errs = append(errs, sys.CloseFD(fd))
	}
	return errors.Join(errs...)
}

// newStack makes the stack, with our addresses and handlers.
func (n *network) newStack() error {
	// What the stack would print is about single packets of guests. Level and target
	// are global in its module, which nothing else here uses; some of its loggers
	// were made before the target is set, and know the level only.
	log.SetLevel(log.Warning)
	log.SetTarget(quiet{})
	s := stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{
			ipv4.NewProtocol,
			// No duplicate address detection, no router discovery: addresses are fixed.
			ipv6.NewProtocolWithOptions(ipv6.Options{}),
		},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	n.stack = s
	if err := errors.Join(setTCPOptions(s), n.addNIC()); err != nil {
		n.closeStack()
		return err
	}
	fw := tcp.NewForwarder(s, dnsBuffer, n.cfg.Limits.DNSQueries, n.tcpDNS)
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		return n.tcpUnknown(fw, id, pkt)
	})
	s.SetTransportProtocolHandler(udp.ProtocolNumber, n.udpReassembled)
	s.SetTransportProtocolHandler(icmp.ProtocolNumber4, n.echoReassembled)
	s.SetTransportProtocolHandler(icmp.ProtocolNumber6, n.echoReassembled)
	return nil
}

// quiet is a log that keeps nothing.
type quiet struct{}

// Emit does nothing.
func (quiet) Emit(int, log.Level, time.Time, string, ...any) {}

func (n *network) addNIC() error {
	if e := n.stack.CreateNIC(nicID, n.link); e != nil {
		return stackError("make interface", e)
	}
	var routes []tcpip.Route
	for _, sub := range n.cfg.Subnets() {
		p := tcpip.ProtocolAddress{
			Protocol:          protocolOf(sub.Gateway),
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: fromAddr(sub.Gateway), PrefixLen: sub.Prefix.Bits()},
		}
		if e := n.stack.AddProtocolAddress(nicID, p, stack.AddressProperties{}); e != nil {
			return stackError("add address "+sub.Gateway.String(), e)
		}
		routes = append(routes, tcpip.Route{Destination: p.AddressWithPrefix.Subnet(), NIC: nicID})
	}
	n.stack.SetRouteTable(routes)
	if e := n.stack.SetSpoofing(nicID, true); e != nil {
		return stackError("set spoofing", e)
	}
	if e := n.stack.SetPromiscuousMode(nicID, true); e != nil {
		return stackError("set promiscuous mode", e)
	}
	return nil
}

func stackError(step string, e tcpip.Error) error { return fmt.Errorf("network: %s: %s", step, e) }

func (n *network) closeStack() {
	n.stack.Close()
	n.stack.Wait()
}

// Done is closed when the network has ended.
func (n *network) Done() <-chan struct{} { return n.done }

// Err says why the network ended by itself.
func (n *network) Err() error {
	select {
	case <-n.done:
		return n.err
	default:
		return nil
	}
}

// Close ends the network and waits for it.
func (n *network) Close() error {
	n.shut(nil)
	<-n.done
	return n.err
}

// shut ends the network, because of err if that is not nil, and waits for
// everything that belongs to it.
func (n *network) shut(err error) {
	n.closing.Do(func() {
		n.cancel()
		linkErr := n.link.stopReading() // no new flow of a guest
		_ = n.loop.Sync(func() error { n.relay.Close(); return nil })
		n.ports.closeAll()
		n.udp.closeAll()
		n.ping.closeAll()
		n.ending.Lock()
		n.ended = true
		n.ending.Unlock()
		n.stack.Close()
		n.work.Wait()
		n.stack.Wait()
		linkErr = errors.Join(linkErr, n.loop.Close(), n.link.shut())
		if err == nil {
			err = errors.Join(linkErr, n.route.Close())
		}
		n.err = err
		close(n.done)
	})
}
