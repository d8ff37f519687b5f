package netstack

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/forward"
	"github.com/nook-containers/nook/slirp/internal/loop"
	"github.com/nook-containers/nook/slirp/internal/relay"
)

// relayed is the network as its relay sees it.
type relayed struct{ *network }

func (n *network) newRelay() *relay.Relay {
	return relay.New(relay.Config{
		Network: relayed{n}, Loop: n.loop, Half: n.half, Open: n.open, MTU: n.cfg.MTU, Headroom: tcpHeadroom,
		Budget: n.cfg.Limits.BufferBytes, ConnectWait: n.cfg.Limits.ConnectWait, CallWait: n.cfg.Limits.HandshakeWait,
	})
}

// segment gives a guest's segment to the relay, and reports whether that took it. The
// others belong to the stack.
func (n *network) segment(v *view, head []byte, parts [2][]byte) bool {
	s := relay.Segment{
		Guest: netip.AddrPortFrom(v.src, v.srcPort), Remote: netip.AddrPortFrom(v.dst, v.dstPort),
		Header: head, Payload: parts, Quote: v.quote,
	}
	return !n.isDNS(s.Remote) && n.relay.Segment(&s)
}

// sleeps is called by the loop before it sleeps, and before it looks for events.
func (n *network) sleeps(awake bool) {
	if n.awake = awake; n.relay != nil {
		n.relay.Flush(false)
	}
}

// rest has the relay acknowledge what it has got.
func (n *network) rest() { n.relay.Flush(n.awake) }

// segmentReassembled does so for what came in fragments.
func (n *network) segmentReassembled(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	h := pkt.TransportHeader().Slice()
	head := relay.Header(h)
	if head == nil {
		return false
	}
	s := relay.Segment{
		Guest:  netip.AddrPortFrom(toAddr(id.RemoteAddress), id.RemotePort),
		Remote: netip.AddrPortFrom(toAddr(id.LocalAddress), id.LocalPort),
		Header: head, Payload: [2][]byte{pkt.Data().AsRange().ToSlice()}, Quote: quote(pkt),
	}
	return n.relay.Segment(&s)
}

// tcpUnknown handles segments that belong to no connection of the stack. It runs in the
// loop and does not wait. false lets the stack answer with a reset.
func (n *network) tcpUnknown(fw *tcp.Forwarder, id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	if n.isDNS(netip.AddrPortFrom(toAddr(id.LocalAddress), id.LocalPort)) {
		return fw.HandlePacket(id, pkt)
	}
	return n.segmentReassembled(id, pkt)
}

// setTCPOptions bounds what the stack's own connections hold, those to DNS.
func setTCPOptions(s *stack.Stack) error {
	rcv := tcpip.TCPReceiveBufferSizeRangeOption{Min: dnsBuffer, Default: dnsBuffer, Max: dnsBuffer}
	snd := tcpip.TCPSendBufferSizeRangeOption{Min: dnsBuffer, Default: dnsBuffer, Max: dnsBuffer}
	for _, o := range []tcpip.SettableTransportProtocolOption{&rcv, &snd} {
		if e := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); e != nil {
			return stackError("set TCP option", e)
		}
	}
	return nil
}

// quote copies what an ICMP error quotes of pkt.
func quote(pkt *stack.PacketBuffer) []byte {
	q := append([]byte(nil), pkt.NetworkHeader().Slice()...)
	h := pkt.TransportHeader().Slice()
	return append(q, h[:min(len(h), 8)]...)
}

// Admit asks the rules: those of egress, which may wait, in a goroutine.
func (n relayed) Admit(f slirp.Flow, then func(netip.AddrPort, forward.Outcome)) {
	if n.cfg.Egress == nil {
		then(n.rules.Admit(n.ctx, f))
		return
	}
	n.work.Go(func() {
		dst, outcome := n.rules.Admit(n.ctx, f)
		n.loop.Do(loop.Func(func() { then(dst, outcome) }))
	})
}

// Send implements relay.Network.
func (n relayed) Send(frame []byte, from, to netip.AddrPort, mss int) {
	n.link.sendFrame(tcpPacket(frame, from, to, mss), to.Addr())
}

// Refuse implements relay.Network.
func (n relayed) Refuse(quote []byte, why forward.Outcome) { n.unreachable(quote, why) }

// Count implements relay.Network.
func (n relayed) Count(what relay.Event) {
	c := &n.stats.tcp
	switch what {
	case relay.Limited:
		c.limited.Add(1)
	case relay.Denied:
		c.denied.Add(1)
	case relay.Failed:
		c.failed.Add(1)
	case relay.Opened:
		c.enter()
		n.stir()
	case relay.Closed:
		c.leave()
	}
}

// Moved implements relay.Network.
func (n relayed) Moved(out, in int) {
	n.stats.bytesOut.Add(uint64(out)) //nolint:gosec // a length
	n.stats.bytesIn.Add(uint64(in))   //nolint:gosec // a length
}

// Shortage implements relay.Network.
func (n relayed) Shortage(err error) { n.noteShortage("connect", err) }

// tcpHeadroom is the room before a TCP header for those before it.
const tcpHeadroom = sys.VnetHeaderLen + ethLen + ip6Len

// tcpPacket completes the segment in buf, whose header begins at tcpHeadroom, and
// returns the part of buf that begins with the virtio header. The receiving kernel
// completes the checksum, and cuts the payload after mss bytes.
func tcpPacket(buf []byte, src, dst netip.AddrPort, mss int) []byte {
	l3 := tcpHeadroom - ipLen(dst.Addr())
	t := buf[tcpHeadroom:]
	binary.BigEndian.PutUint16(t[16:], pseudo(protoTCP, src.Addr(), dst.Addr(), len(t)))
	putIP(buf[l3:], protoTCP, src.Addr(), dst.Addr(), len(t))
	b := buf[l3-ethLen-sys.VnetHeaderLen:]
	clear(b[:sys.VnetHeaderLen])
	b[0] = vnetNeedsCsum
	binary.LittleEndian.PutUint16(b[6:], uint16(ethLen+ipLen(dst.Addr())))
	binary.LittleEndian.PutUint16(b[8:], 16)
	head := int(t[12]>>4) * 4
	if len(t)-head > mss {
		b[1] = vnetGSO4
		if dst.Addr().Is6() {
			b[1] = vnetGSO6
		}
		binary.LittleEndian.PutUint16(b[2:], uint16(ethLen+ipLen(dst.Addr())+head)) //nolint:gosec // headers are short
		binary.LittleEndian.PutUint16(b[4:], uint16(mss))                           //nolint:gosec // at most the MTU
	}
	return b
}
