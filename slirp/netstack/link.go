package netstack

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/slirp/internal/loop"
	"github.com/nook-containers/nook/slirp/internal/relay"
)

const (
	// headLen is how much of a frame is surely in one piece: the headers that
	// classify looks at.
	headLen = 256

	// maxFrame is the longest frame that can come: an IP packet with its header, and some.
	maxFrame = headLen + 64<<10
)

// receiver is what the link gives IP datagrams, echo requests and TCP segments to that
// need no stack. parts are the payload, in one or two pieces, valid during the call.
type receiver interface {
	datagram(v *view, parts [2][]byte)
	echo(v *view, parts [2][]byte)
	flush() // no datagram comes next

	// segment reports false for one that is the stack's; rest tells that there is nothing
	// to read now.
	segment(v *view, header []byte, parts [2][]byte) bool
	rest()
}

// link is the stack's end of the TAP. It implements stack.LinkEndpoint. It resolves hardware addresses itself, so that the stack,
// which takes every address as its own, does not answer for guests.
type link struct {
	fds    []int // of the TAP
	mtu    int
	filter *filter
	neigh  *neighbours
	recv   receiver
	stats  *counters

	disp    stack.NetworkDispatcher
	loop    *loop.Loop
	readers []*reader // of the loop
	fragID  atomic.Uint32
	broken  func(error) // the TAP has gone
	stir    func()      // something happens

	mu     sync.RWMutex // held shared while writing, exclusively to close
	closed bool
}

var _ stack.LinkEndpoint = (*link)(nil)

func (l *link) MTU() uint32                      { return uint32(l.mtu) } //nolint:gosec // at most 65520
func (l *link) SetMTU(uint32)                    {}
func (l *link) MaxHeaderLength() uint16          { return ethLen }
func (l *link) LinkAddress() tcpip.LinkAddress   { return tcpip.LinkAddress(l.filter.mac[:]) }
func (l *link) SetLinkAddress(tcpip.LinkAddress) {}
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}
func (l *link) IsAttached() bool                        { return l.disp != nil }
func (l *link) Wait()                                   {}
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }
func (l *link) Close()                                  {}
func (l *link) SetOnCloseAction(func())                 {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (l *link) AddHeader(pkt *stack.PacketBuffer)       { pkt.LinkHeader().Push(ethLen) }

// Attach remembers where packets go to; reading begins with start.
func (l *link) Attach(d stack.NetworkDispatcher) { l.disp = d }

// start begins to read.
func (l *link) start() error {
	for _, fd := range l.fds {
		r := newReader(l, fd)
		id, err := l.loop.AddReader(fd, r)
		if err != nil {
			return errors.Join(err, l.stopReading())
		}
		r.id = id
		l.readers = append(l.readers, r)
	}
	return nil
}

// stopReading ends reading. Nobody reads any more when it returns.
func (l *link) stopReading() error {
	return l.loop.Sync(func() error {
		var errs []error
		for _, r := range l.readers {
			errs = append(errs, r.stop())
		}
		return errors.Join(errs...)
	})
}

// shut closes the descriptors, after the end of the loop. Writing afterwards is
// silent.
func (l *link) shut() error {
	l.neigh.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return closeAll(l.fds)
}

// frame handles one frame of size bytes, the first headLen in head, the rest in big.
func (l *link) frame(head, big []byte, size int) {
	if size <= 0 || size > headLen+len(big) {
		l.stats.malformed.Add(1)
		return
	}
	l.stats.framesIn.Add(1)
	v := l.filter.classify(head[:min(size, headLen)], size)
	if v.kind != datagram {
		l.recv.flush()
	}
	switch v.kind {
	case notOurs:
	case malformed:
		l.stats.malformed.Add(1)
	case spoofed:
		l.stats.spoofed.Add(1)
	case arp:
		l.onARP(&v)
	case ndp:
		l.onNDP(&v, head)
	case datagram, echo:
		l.neigh.learn(v.src, v.srcMAC)
		parts := payload(head, big, v.l4+8, v.end)
		if v.kind == datagram {
			l.recv.datagram(&v, parts)
		} else {
			l.recv.echo(&v, parts)
		}
	case segment:
		l.neigh.learn(v.src, v.srcMAC)
		header := relay.Header(head[v.l4:min(len(head), v.end)])
		if !l.recv.segment(&v, header, payload(head, big, v.l4+len(header), v.end)) {
			l.deliver(head, big, size)
		}
	case packet:
		l.neigh.learn(v.src, v.srcMAC)
		l.deliver(head, big, size)
	}
}

// payload is what lies between from and to in the frame that begins in head and
// goes on in rest.
func payload(head, rest []byte, from, to int) (parts [2][]byte) {
	if from < headLen {
		parts[0] = head[from:min(to, headLen)]
	}
	if to > headLen {
		parts[1] = rest[max(0, from-headLen) : to-headLen]
	}
	return parts
}

// deliver gives a copy of the frame to the stack, which counts bytes and not the buffers
// that they keep.
func (l *link) deliver(head, big []byte, size int) {
	data := buffer.NewView(size)
	_, _ = data.Write(head[:min(size, headLen)])
	if size > headLen {
		_, _ = data.Write(big[:size-headLen])
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(data)})
	if h, ok := pkt.LinkHeader().Consume(ethLen); ok {
		proto := tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(h[12:]))
		pkt.NetworkProtocolNumber = proto
		l.disp.DeliverNetworkPacket(proto, pkt)
	}
	pkt.DecRef()
}

// onARP answers requests for our addresses and learns from guests' own.
func (l *link) onARP(v *view) {
	if l.filter.guest(v.src) {
		l.neigh.learn(v.src, v.srcMAC)
	}
	if l.filter.ours(v.dst) {
		l.emit(arpPacket(2, l.filter.mac, v.srcMAC, v.dst, v.src), v.srcMAC, etherARP)
	}
}

// onNDP does the same for IPv6. An address of ours that a guest is about to take
// is announced to all (RFC 4861, section 7.2.4).
func (l *link) onNDP(v *view, head []byte) {
	msg := head[v.l4:]
	if l.filter.guest(v.src) {
		l.neigh.learn(v.src, v.srcMAC)
	}
	target := netip.AddrFrom16([16]byte(msg[8:]))
	if msg[0] == ndpNeighborAdvert && l.filter.guest(target) {
		l.neigh.learn(target, v.srcMAC)
	}
	if msg[0] != ndpNeighborSolicit || !l.filter.ours(target) {
		return
	}
	to, at := v.src, v.srcMAC
	if to.IsUnspecified() {
		to = netip.IPv6LinkLocalAllNodes()
		at = groupMAC(to)
	}
	l.emit(neighborPacket(ndpNeighborAdvert, l.filter.mac, target, to), at, etherIP6)
}

// solicit asks where a guest is.
func (l *link) solicit(a netip.Addr) {
	if a.Is4() {
		l.emit(arpPacket(1, l.filter.mac, mac{}, l.filter.v4.Gateway, a), mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, etherARP)
		return
	}
	l.emit(neighborPacket(ndpNeighborSolicit, l.filter.mac, l.filter.v6.Gateway, a), groupMAC(solicitedNode(a)), etherIP6)
}

// emit completes a frame that has room for its headers, and writes it.
func (l *link) emit(frame []byte, to mac, ether uint16) {
	l.putEthernet(frame[sys.VnetHeaderLen:], to, ether)
	l.write([][]byte{frame})
}

func (l *link) putEthernet(b []byte, to mac, ether uint16) {
	copy(b, to[:])
	copy(b[6:], l.filter.mac[:])
	binary.BigEndian.PutUint16(b[12:], ether)
}

// sendIP writes an IP packet to a guest, as udpPacket and icmpPacket make it,
// in fragments if it is too long.
func (l *link) sendIP(frame []byte, to netip.Addr) {
	if len(frame)-sys.VnetHeaderLen-ethLen <= l.mtu {
		l.sendFrame(frame, to)
		return
	}
	fragments(frame, l.mtu, l.fragID.Add(1), func(f []byte) { l.sendFrame(f, to) })
}

func (l *link) sendFrame(frame []byte, to netip.Addr) {
	ether := uint16(etherIP4)
	if to.Is6() {
		ether = etherIP6
	}
	m, ok := l.neigh.lookup(to)
	if !ok {
		l.putEthernet(frame[sys.VnetHeaderLen:], m, ether)
		if !l.neigh.wait(to, frame) {
			l.stats.limited.Add(1)
		}
		return
	}
	l.emit(frame, m, ether)
}

// sendWaited writes a frame that waited for its destination.
func (l *link) sendWaited(frame []byte, to mac) {
	copy(frame[sys.VnetHeaderLen:], to[:])
	l.write([][]byte{frame})
}

// write writes one frame. A frame that the kernel does not take is lost, as on
// any wire.
func (l *link) write(bufs [][]byte) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return
	}
	if _, err := sys.Writev(l.fds[0], bufs); err != nil {
		l.stats.limited.Add(1)
		return
	}
	l.stats.framesOut.Add(1)
}

// WritePackets writes packets of the stack. What it sends to groups concerns a
// router or host on the link, which this stack is not.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	n := 0
	for _, pkt := range pkts.AsSlice() {
		l.writePacket(pkt)
		n++
	}
	return n, nil
}

func (l *link) writePacket(pkt *stack.PacketBuffer) {
	dst, ok := destination(pkt)
	if !ok || dst.IsMulticast() {
		return
	}
	var vnet [sys.VnetHeaderLen]byte
	m, known := l.neigh.lookup(dst)
	l.putEthernet(pkt.LinkHeader().Slice(), m, uint16(pkt.NetworkProtocolNumber)) //nolint:gosec // an Ethernet type
	var iov [8][]byte
	bufs := append(append(iov[:0], vnet[:]), pkt.AsSlices()...)
	if len(bufs) > sys.MaxIOVec {
		bufs = [][]byte{flatten(bufs)}
	}
	switch {
	case !known:
		if !l.neigh.wait(dst, flatten(bufs)) {
			l.stats.limited.Add(1)
		}
	default:
		l.write(bufs)
	}
}

func flatten(bufs [][]byte) []byte {
	var b []byte
	for _, p := range bufs {
		b = append(b, p...)
	}
	return b
}

func destination(pkt *stack.PacketBuffer) (netip.Addr, bool) {
	h := pkt.NetworkHeader().Slice()
	switch {
	case pkt.NetworkProtocolNumber == header.IPv4ProtocolNumber && len(h) >= ip4Len:
		return netip.AddrFrom4([4]byte(h[16:])), true
	case pkt.NetworkProtocolNumber == header.IPv6ProtocolNumber && len(h) >= ip6Len:
		return netip.AddrFrom16([16]byte(h[24:])), true
	}
	return netip.Addr{}, false
}
