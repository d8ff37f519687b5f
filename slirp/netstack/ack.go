package netstack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// heldAck is an acknowledgement without data that waits for data (or the end) of
// the same connection to say the same, as long as the loop looks for it: an answer that comes
// within a few microseconds saves a packet.
type heldAck struct {
	mu    sync.Mutex
	awake bool // the loop looks, and calls rest before it sleeps
	frame []byte
	hash  uint32
	flow  stack.TransportEndpointID
	ack   seqnum.Value
	there bool
}

// rest is called by the loop before it sleeps, and before it looks for events.
func (l *link) rest(awake bool) {
	h := &l.ack
	h.mu.Lock()
	defer h.mu.Unlock()
	h.awake = awake
	h.release(l)
}

// hold keeps pkt, whose frame bufs are, if it has no more than an acknowledgement.
// Otherwise the packet that was kept is not needed any more, or goes first.
func (h *heldAck) hold(l *link, pkt *stack.PacketBuffer, bufs [][]byte) bool {
	if pkt.TransportProtocolNumber != protoTCP {
		return false
	}
	t := header.TCP(pkt.TransportHeader().Slice())
	if len(t) < header.TCPMinimumSize {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	ack := seqnum.Value(t.AckNumber())
	flow := flowOf(pkt, t)
	if h.there {
		data := pkt.Data().Size() > 0 || t.Flags()&header.TCPFlagFin != 0
		if data && t.Flags()&header.TCPFlagAck != 0 && flow == h.flow && h.ack.LessThanEq(ack) {
			h.there = false
		} else {
			h.release(l)
		}
	}
	if !h.awake || t.Flags() != header.TCPFlagAck || pkt.Data().Size() > 0 {
		return false
	}
	h.frame = h.frame[:0]
	for _, b := range bufs {
		h.frame = append(h.frame, b...)
	}
	h.there, h.flow, h.ack, h.hash = true, flow, ack, pkt.Hash
	return true
}

// release writes what is kept.
func (h *heldAck) release(l *link) {
	if h.there {
		h.there = false
		l.write([][]byte{h.frame}, h.hash)
	}
}

func flowOf(pkt *stack.PacketBuffer, t header.TCP) stack.TransportEndpointID {
	net := pkt.Network()
	return stack.TransportEndpointID{
		LocalAddress: net.SourceAddress(), LocalPort: t.SourcePort(),
		RemoteAddress: net.DestinationAddress(), RemotePort: t.DestinationPort(),
	}
}
