package netstack

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/forward"
)

// openerIdle is how long a goroutine that has opened a connection waits for another
// one to open.
const openerIdle = time.Second

// tcpFlows are the TCP flows of a network, being opened and open.
type tcpFlows struct {
	half, open *forward.Gate

	mu      sync.Mutex
	closed  bool
	opening map[stack.TransportEndpointID][]byte // the packet to quote in an ICMP error
	pumps   map[*pump]struct{}
	calling map[*inner]struct{} // published connections that a guest has not accepted yet

	openers chan *tcp.ForwarderRequest // to goroutines that have nothing to do
	peeks   sync.Pool                  // *peeked
}

func (t *tcpFlows) init(l slirp.Limits) {
	t.half = forward.NewGate(l.TCPHalfOpen, l.Share(l.TCPHalfOpen))
	t.open = forward.NewGate(l.TCPFlows, l.Share(l.TCPFlows))
	t.opening = map[stack.TransportEndpointID][]byte{}
	t.pumps = map[*pump]struct{}{}
	t.calling = map[*inner]struct{}{}
	t.peeks.New = func() any { return &peeked{} }
	t.openers = make(chan *tcp.ForwarderRequest)
}

// closeAll resets every flow.
func (t *tcpFlows) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for p := range t.pumps {
		p.abort()
	}
	for c := range t.calling {
		c.giveUp()
	}
}

// guestIsAway ends the connections that wait for a guest whom nobody found.
func (t *tcpFlows) guestIsAway(a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.calling {
		if c.to.Addr() == a {
			c.giveUp()
		}
	}
}

// setTCPOptions sets what differs from the stack's defaults.
func setTCPOptions(s *stack.Stack) error {
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	cubic := tcpip.CongestionControlOption("cubic")
	// The stack drops a SYN from a port whose last connection it remembers, and a guest
	// comes back to a port after 3000 connections (it goes on by random steps). The link
	// does not reorder or delay, so nothing old turns up after so little.
	timeWait := tcpip.TCPTimeWaitTimeoutOption(timeWaitFor)
	retries := tcpip.TCPSynRetriesOption(3)
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &cubic, &timeWait, &retries} {
		if e := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); e != nil {
			return stackError("set TCP option", e)
		}
	}
	return nil
}

// tcpSYN handles segments that belong to no connection. It runs in the reader of
// the TAP and does not wait. false lets the stack answer with a reset.
func (n *network) tcpSYN(fw *tcp.Forwarder, id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	const interesting = header.TCPFlagSyn | header.TCPFlagAck | header.TCPFlagRst
	h := header.TCP(pkt.TransportHeader().Slice())
	if h.Flags()&interesting != header.TCPFlagSyn {
		return false
	}
	guest := toAddr(id.RemoteAddress)
	t := &n.tcp
	t.mu.Lock()
	_, again := t.opening[id]
	switch {
	case again || t.closed: // the guest repeats a SYN while we connect
		t.mu.Unlock()
		return true
	case !t.half.Enter(guest):
		t.mu.Unlock()
		n.stats.tcp.limited.Add(1)
		return true
	}
	t.opening[id] = quote(pkt)
	n.work.Add(1) // under the lock: closed is not set, so nobody waits yet
	t.mu.Unlock()
	if !fw.HandlePacket(id, pkt) {
		n.opened(id)
		n.work.Done()
		return false
	}
	return true
}

// quote copies what an ICMP error quotes of pkt.
func quote(pkt *stack.PacketBuffer) []byte {
	q := append([]byte(nil), pkt.NetworkHeader().Slice()...)
	h := pkt.TransportHeader().Slice()
	return append(q, h[:min(len(h), 8)]...)
}

// opened ends the opening of id.
func (n *network) opened(id stack.TransportEndpointID) (quote []byte) {
	t := &n.tcp
	t.mu.Lock()
	quote = t.opening[id]
	delete(t.opening, id)
	t.mu.Unlock()
	t.half.Leave(toAddr(id.RemoteAddress))
	return quote
}

// tcpRequest gives r to a goroutine whose stack has grown to what opening takes, or
// becomes one that waits for others for a while.
func (n *network) tcpRequest(r *tcp.ForwarderRequest) {
	select {
	case n.tcp.openers <- r:
		return
	default:
	}
	n.open(r)
	var idle *time.Timer
	for {
		if idle == nil {
			idle = time.NewTimer(openerIdle)
			defer idle.Stop()
		} else {
			idle.Reset(openerIdle)
		}
		select {
		case r := <-n.tcp.openers:
			n.open(r)
		case <-idle.C:
			return
		case <-n.ctx.Done():
			return
		}
	}
}

// open opens the host's side of a connection and, if that succeeds, the guest's.
func (n *network) open(r *tcp.ForwarderRequest) {
	id := r.ID()
	f := slirp.Flow{
		Proto: slirp.TCP,
		Src:   netip.AddrPortFrom(toAddr(id.RemoteAddress), id.RemotePort),
		Dst:   netip.AddrPortFrom(toAddr(id.LocalAddress), id.LocalPort),
	}
	if n.isDNS(f.Dst) {
		defer n.work.Done()
		n.tcpDNS(r, f)
		return
	}
	if !n.tcp.open.Enter(f.Src.Addr()) {
		defer n.work.Done()
		n.stats.tcp.limited.Add(1)
		n.refuse(r, forward.Dropped)
		return
	}
	done := func() {
		n.tcp.open.Leave(f.Src.Addr())
		n.work.Done()
	}
	if p := n.connect(r, f); p != nil {
		p.done = done
		n.pump(p)
		return
	}
	done()
}

// connect makes both ends of the flow f, or answers why not and returns nil.
func (n *network) connect(r *tcp.ForwarderRequest, f slirp.Flow) *pump {
	dst, outcome := n.rules.Admit(n.ctx, f)
	if outcome != forward.Opened {
		n.stats.tcp.denied.Add(1)
		n.refuse(r, outcome)
		return nil
	}
	sock, err := dialTCP(n.ctx, n.loop, dst, n.cfg.Limits.ConnectWait)
	if err != nil {
		n.noteShortage("connect", err)
		n.stats.tcp.failed.Add(1)
		n.refuse(r, forward.OutcomeOf(err))
		return nil
	}
	ep, wq := n.accept(r)
	if ep == nil {
		sock.reset(n.loop)
		n.stats.tcp.failed.Add(1)
		return nil
	}
	return &pump{ep: ep, wq: wq, sock: sock}
}

// accept shakes hands with the guest.
func (n *network) accept(r *tcp.ForwarderRequest) (tcpip.Endpoint, *waiter.Queue) {
	var wq waiter.Queue
	ep, err := r.CreateEndpoint(&wq)
	id := r.ID()
	r.Complete(false) // before opened: the forwarder forgets a repeated SYN meanwhile
	n.opened(id)
	if err != nil {
		return nil, nil
	}
	return ep, &wq
}

// refuse tells the guest that there will be no connection.
func (n *network) refuse(r *tcp.ForwarderRequest, why forward.Outcome) {
	id := r.ID()
	r.Complete(why == forward.Refused)
	q := n.opened(id)
	if why != forward.Refused {
		n.unreachable(q, why)
	}
}

// unreachable sends the ICMP error for why about the packet that q begins, from
// the gateway (RFC 792; RFC 4443, section 3.1). Dropped sends none. There is a
// limit to how many go out in a second.
func (n *network) unreachable(q []byte, why forward.Outcome) {
	if len(q) < ip4Len+8 || why == forward.Dropped || why == forward.Opened || !n.stack.AllowICMPMessage() {
		return
	}
	v6 := q[0]>>4 == 6
	buf := make([]byte, headroom, headroom+len(q))
	buf = append(buf, q...)
	clear(buf[headroom-icmpLen : headroom])
	if v6 {
		dst := netip.AddrFrom16([16]byte(q[8:]))
		code := map6(why)
		n.link.sendIP(icmpPacket(buf, 1, code, n.cfg.IPv6.Gateway, dst), dst)
		return
	}
	dst := netip.AddrFrom4([4]byte(q[12:]))
	n.link.sendIP(icmpPacket(buf, 3, map4(why), n.cfg.IPv4.Gateway, dst), dst)
}

// map4 gives the code of "destination unreachable" (RFC 1812, section 5.2.7.1).
func map4(why forward.Outcome) byte {
	switch why {
	case forward.NetUnreachable:
		return 0
	case forward.Refused:
		return 3 // port
	case forward.Prohibited:
		return 13 // communication administratively prohibited
	default:
		return 1 // host
	}
}

// map6 does so for ICMPv6.
func map6(why forward.Outcome) byte {
	switch why {
	case forward.NetUnreachable:
		return 0
	case forward.Refused:
		return 4 // port
	case forward.Prohibited:
		return 1
	default:
		return 3 // address
	}
}

// udpQuote is the beginning of an IP packet of a guest, for ICMP errors about a
// flow whose packet is not kept: only addresses, protocol and ports count.
func udpQuote(src, dst netip.AddrPort) []byte {
	l3 := ipLen(src.Addr())
	q := make([]byte, l3+udpLen)
	putIP(q, protoUDP, src.Addr(), dst.Addr(), udpLen)
	binary.BigEndian.PutUint16(q[l3:], src.Port())
	binary.BigEndian.PutUint16(q[l3+2:], dst.Port())
	binary.BigEndian.PutUint16(q[l3+4:], udpLen)
	return q
}
