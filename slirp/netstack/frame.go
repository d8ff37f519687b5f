package netstack

import (
	"encoding/binary"
	"net/netip"

	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/internal/relay"
)

// A kind is what a frame from the guests is, and so who gets it.
type kind uint8

const (
	notOurs   kind = iota // for another port of the bridge, or of no interest
	malformed             // too short, or not what it claims to be
	spoofed               // from an address that no guest can have
	arp                   // about an address of ours or of a guest
	ndp                   // neighbour discovery, the same for IPv6
	datagram              // a whole UDP datagram
	echo                  // a whole echo request for another host
	segment               // TCP, whole
	packet                // everything else over IP
)

const (
	ethLen  = 14
	ip4Len  = 20
	ip6Len  = 40
	udpLen  = 8
	icmpLen = 8

	etherARP = 0x0806
	etherIP4 = 0x0800
	etherIP6 = 0x86dd

	protoICMP  = 1
	protoTCP   = 6
	protoUDP   = 17
	protoICMP6 = 58

	ndpRouterSolicit   = 133
	ndpNeighborSolicit = 135
	ndpNeighborAdvert  = 136
	ndpRedirect        = 137
)

type mac = [6]byte

// A filter knows the addresses of a network, and decides what a frame is.
type filter struct {
	mac      mac
	v4, v6   slirp.Subnet
	reserved map[netip.Addr]bool // addresses inside the subnets that are ours
	ip4Bcast netip.Addr
}

func newFilter(cfg slirp.Config) *filter {
	f := &filter{mac: cfg.MAC, v4: cfg.IPv4, v6: cfg.IPv6, reserved: map[netip.Addr]bool{}}
	for _, s := range cfg.Subnets() {
		f.reserved[s.Gateway] = true
		f.reserved[s.Prefix.Addr()] = true
	}
	for _, a := range cfg.DNSAddrs {
		f.reserved[a] = true
	}
	for _, a := range cfg.Host.Aliases {
		f.reserved[a.Guest] = true
	}
	if f.v4.Prefix.IsValid() {
		b := f.v4.Prefix.Addr().As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])|^uint32(0)>>f.v4.Prefix.Bits())
		f.ip4Bcast = netip.AddrFrom4(b)
		f.reserved[f.ip4Bcast] = true
	}
	return f
}

// ours reports whether guests resolve a to our hardware address.
func (f *filter) ours(a netip.Addr) bool {
	return f.reserved[a] && a != f.v4.Prefix.Addr() && a != f.v6.Prefix.Addr() && a != f.ip4Bcast
}

// guest reports whether a can be a guest's.
func (f *filter) guest(a netip.Addr) bool {
	in := f.v4.Prefix
	if a.Is6() {
		in = f.v6.Prefix
	}
	return in.IsValid() && in.Contains(a) && !f.reserved[a]
}

// A view is what classify found out. Its slices are parts of the head that
// classify got.
type view struct {
	kind     kind
	srcMAC   mac
	src, dst netip.Addr
	quote    []byte // the IP header and eight bytes more, as ICMP errors quote them
	l4       int    // offset of the transport header in the frame
	end      int    // offset of the end of the IP packet in the frame
	srcPort  uint16 // datagram and segment; or the identifier of echo
	dstPort  uint16
}

// classify says what the frame is that begins with head and is size bytes long.
// head holds at least the first 256 bytes, or all.
func (f *filter) classify(head []byte, size int) view {
	if len(head) < ethLen {
		return view{kind: malformed}
	}
	v := view{srcMAC: mac(head[6:12])}
	dst := mac(head[:6])
	switch multicast := dst[0]&1 != 0; {
	case v.srcMAC[0]&1 != 0 || v.srcMAC == f.mac:
		v.kind = spoofed
	case !multicast && dst != f.mac:
		v.kind = notOurs
	case binary.BigEndian.Uint16(head[12:]) == etherARP:
		f.classifyARP(&v, head)
	case binary.BigEndian.Uint16(head[12:]) == etherIP4 && !multicast:
		f.classify4(&v, head, size)
	case binary.BigEndian.Uint16(head[12:]) == etherIP6:
		f.classify6(&v, head, size)
	}
	return v
}

// classifyARP handles RFC 826 packets, and RFC 5227 probes, whose sender is
// 0.0.0.0.
func (f *filter) classifyARP(v *view, head []byte) {
	b := head[ethLen:]
	if len(b) < 28 || [6]byte(b) != [6]byte{0, 1, 8, 0, 6, 4} {
		v.kind = malformed
		return
	}
	v.src, v.dst = netip.AddrFrom4([4]byte(b[14:])), netip.AddrFrom4([4]byte(b[24:]))
	switch {
	case mac(b[8:]) != v.srcMAC, !f.guest(v.src) && !v.src.IsUnspecified():
		v.kind = spoofed
	default:
		v.kind = arp
	}
}

func (f *filter) classify4(v *view, head []byte, size int) {
	b := head[ethLen:]
	if len(b) < ip4Len {
		v.kind = malformed
		return
	}
	ihl, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if b[0]>>4 != 4 || ihl < ip4Len || total < ihl || ethLen+total > size {
		v.kind = malformed
		return
	}
	v.src, v.dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	if !f.guest(v.src) {
		v.kind = spoofed
		return
	}
	if v.dst.IsMulticast() || v.dst == f.ip4Bcast || b[16] == 255 {
		return // nobody here listens to groups
	}
	v.kind, v.l4, v.end = packet, ethLen+ihl, ethLen+total
	if binary.BigEndian.Uint16(b[6:])&0x3fff == 0 { // neither offset nor more fragments
		f.classifyTransport(v, head, b[9])
	}
}

func (f *filter) classify6(v *view, head []byte, size int) {
	b := head[ethLen:]
	if len(b) < ip6Len {
		v.kind = malformed
		return
	}
	total := ip6Len + int(binary.BigEndian.Uint16(b[4:]))
	if b[0]>>4 != 6 || ethLen+total > size {
		v.kind = malformed
		return
	}
	v.src, v.dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	v.l4, v.end = ethLen+ip6Len, ethLen+total
	if b[6] == protoICMP6 && len(b) > ip6Len && b[ip6Len] >= ndpRouterSolicit && b[ip6Len] <= ndpRedirect {
		f.classifyNDP(v, head)
		return
	}
	switch {
	case head[0]&1 != 0 || v.dst.IsMulticast():
		// MLD reports, multicast DNS and the like.
	case !f.guest(v.src):
		v.kind = spoofed
	default:
		v.kind = packet
		f.classifyTransport(v, head, b[6])
	}
}

// classifyNDP lets neighbour solicitations and advertisements of guests pass
// (RFC 4861). Solicitations from :: are duplicate address detection.
func (f *filter) classifyNDP(v *view, head []byte) {
	b := head[ethLen:min(len(head), v.end)]
	if len(b) < ip6Len+24 || b[7] != 255 { // from off the link
		v.kind = malformed
		return
	}
	t := b[ip6Len]
	target := netip.AddrFrom16([16]byte(b[ip6Len+8:]))
	switch {
	case t != ndpNeighborSolicit && t != ndpNeighborAdvert:
		// There is no router here for guests to solicit or announce.
	case t == ndpNeighborAdvert && f.reserved[target]:
		v.kind = spoofed
	case f.guest(v.src), v.src.IsLinkLocalUnicast(), v.src.IsUnspecified() && t == ndpNeighborSolicit:
		v.kind = ndp
	default:
		v.kind = spoofed
	}
}

// classifyTransport finds whole datagrams and echo requests.
func (f *filter) classifyTransport(v *view, head []byte, proto byte) {
	if v.end-v.l4 < 8 || v.l4+8 > len(head) {
		return // the stack finds out what is wrong
	}
	h := head[v.l4:]
	v.quote = head[ethLen : v.l4+8]
	switch {
	case proto == protoUDP:
		length := int(binary.BigEndian.Uint16(h[4:]))
		if length < udpLen || length > v.end-v.l4 {
			v.kind = malformed
			return
		}
		v.kind, v.end = datagram, v.l4+length
		v.srcPort, v.dstPort = binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:])
	case proto == protoTCP && relay.Header(head[v.l4:min(len(head), v.end)]) != nil:
		v.kind = segment
		v.srcPort, v.dstPort = binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:])
	case (proto == protoICMP && v.src.Is4() && h[0] == 8 || proto == protoICMP6 && v.src.Is6() && h[0] == 128) && !f.ours(v.dst):
		v.kind = echo
		v.srcPort = binary.BigEndian.Uint16(h[4:])
	}
}
