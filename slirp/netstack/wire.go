package netstack

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"

	"github.com/nook-containers/nook/pkg/sys"
)

// Packets that the stack has no part in are built here: UDP, echo replies, ICMP
// errors, ARP and neighbour discovery. Each function fills in a buffer whose
// payload is already in place behind room for the headers.

const (
	// headroom is the room before a payload for every header that may be needed.
	headroom = sys.VnetHeaderLen + ethLen + ip6Len + 8

	// vnetNeedsCsum asks the receiving kernel to complete a checksum.
	vnetNeedsCsum = 1

	// vnetGSO4 and vnetGSO6 ask it to cut TCP segments (VIRTIO_NET_HDR_GSO_TCPV4, TCPV6).
	vnetGSO4 = 1
	vnetGSO6 = 4
)

// ipLen is the length of an IP header without options.
func ipLen(a netip.Addr) int {
	if a.Is4() {
		return ip4Len
	}
	return ip6Len
}

// putIP writes an IP header for payload bytes of proto into b.
func putIP(b []byte, proto byte, src, dst netip.Addr, payload int) {
	if src.Is4() {
		b[0], b[1] = 0x45, 0
		binary.BigEndian.PutUint16(b[2:], uint16(ip4Len+payload)) //nolint:gosec // callers keep to the IP limit
		binary.BigEndian.PutUint32(b[4:], 0x4000)                 // no id, don't fragment
		b[8], b[9], b[10], b[11] = 64, proto, 0, 0
		s, d := src.As4(), dst.As4()
		copy(b[12:], s[:])
		copy(b[16:], d[:])
		binary.BigEndian.PutUint16(b[10:], ^checksum.Checksum(b[:ip4Len], 0))
		return
	}
	binary.BigEndian.PutUint32(b, 6<<28)
	binary.BigEndian.PutUint16(b[4:], uint16(payload)) //nolint:gosec // callers keep to the IP limit
	b[6], b[7] = proto, 64
	s, d := src.As16(), dst.As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
}

// pseudo is the checksum over the pseudo header (RFC 768; RFC 8200, section 8.1).
func pseudo(proto byte, src, dst netip.Addr, length int) uint16 {
	sum := checksum.Checksum(src.AsSlice(), 0)
	sum = checksum.Checksum(dst.AsSlice(), sum)
	return checksum.Checksum([]byte{0, proto, byte(length >> 8), byte(length)}, sum)
}

// putUDP writes the header of the datagram b, whose payload is in place. With
// partial set the checksum covers only the pseudo header, for the receiving
// kernel to complete.
func putUDP(b []byte, src, dst netip.AddrPort, partial bool) { //nolint:revive // as the virtio flag
	binary.BigEndian.PutUint16(b, src.Port())
	binary.BigEndian.PutUint16(b[2:], dst.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(len(b))) //nolint:gosec // at most 65535
	b[6], b[7] = 0, 0
	sum := pseudo(protoUDP, src.Addr(), dst.Addr(), len(b))
	if !partial {
		sum = ^checksum.Checksum(b, sum)
		if sum == 0 {
			sum = 0xffff
		}
	}
	binary.BigEndian.PutUint16(b[6:], sum)
}

// putICMP writes type and code, and the checksum of the whole message b.
func putICMP(b []byte, kind, code byte, src, dst netip.Addr) {
	b[0], b[1], b[2], b[3] = kind, code, 0, 0
	var sum uint16
	if src.Is6() {
		sum = pseudo(protoICMP6, src, dst, len(b))
	}
	binary.BigEndian.PutUint16(b[2:], ^checksum.Checksum(b, sum))
}

// udpPacket completes buf, whose bytes from headroom on are the payload, into a
// datagram, and returns the part of buf that begins with the virtio header, with
// room for the Ethernet header. Where the packet is longer than mtu its checksum is
// complete, so that fragments can be cut from it.
func udpPacket(buf []byte, src, dst netip.AddrPort, mtu int) []byte {
	l3 := headroom - udpLen - ipLen(dst.Addr())
	whole := len(buf)-l3 <= mtu
	putUDP(buf[headroom-udpLen:], src, dst, whole)
	putIP(buf[l3:], protoUDP, src.Addr(), dst.Addr(), len(buf)-headroom+udpLen)
	b := buf[l3-ethLen-sys.VnetHeaderLen:]
	clear(b[:sys.VnetHeaderLen])
	if whole {
		b[0] = vnetNeedsCsum
		binary.LittleEndian.PutUint16(b[6:], uint16(ethLen+ipLen(dst.Addr())))
		binary.LittleEndian.PutUint16(b[8:], 6)
	}
	return b
}

// icmpPacket does the same for an ICMP message that begins at buf[headroom-8].
func icmpPacket(buf []byte, kind, code byte, src, dst netip.Addr) []byte {
	proto := byte(protoICMP)
	if dst.Is6() {
		proto = protoICMP6
	}
	msg := buf[headroom-icmpLen:]
	l3 := headroom - icmpLen - ipLen(dst)
	putICMP(msg, kind, code, src, dst)
	putIP(buf[l3:], proto, src, dst, len(msg))
	b := buf[l3-ethLen-sys.VnetHeaderLen:]
	clear(b[:sys.VnetHeaderLen])
	return b
}

// fragments cuts the IP packet in frame, as udpPacket and icmpPacket return it,
// into frames whose packets have at most mtu bytes, and gives each to emit. id
// tells packets apart.
func fragments(frame []byte, mtu int, id uint32, emit func(frame []byte)) {
	const l3 = sys.VnetHeaderLen + ethLen
	ip := frame[l3:]
	if len(ip) <= mtu {
		emit(frame)
		return
	}
	hdr, extra := ip4Len, 0
	if ip[0]>>4 == 6 {
		hdr, extra = ip6Len, 8
	}
	payload := ip[hdr:]
	step := (mtu - hdr - extra) &^ 7
	for off := 0; off < len(payload); off += step {
		part := payload[off:min(off+step, len(payload))]
		more := off+len(part) < len(payload)
		out := make([]byte, l3+hdr+extra+len(part))
		copy(out[l3:], ip[:hdr])
		copy(out[l3+hdr+extra:], part)
		if extra == 0 {
			fragment4(out[l3:], uint16(id), off, more) //nolint:gosec // the low half
		} else {
			fragment6(out[l3:], id, off, more)
		}
		emit(out)
	}
}

func fragment4(ip []byte, id uint16, off int, more bool) { //nolint:revive // a header bit
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip))) //nolint:gosec // at most the MTU
	binary.BigEndian.PutUint16(ip[4:], id)
	flags := uint16(off / 8) //nolint:gosec // an offset in a packet
	if more {
		flags |= 0x2000
	}
	binary.BigEndian.PutUint16(ip[6:], flags)
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^checksum.Checksum(ip[:ip4Len], 0))
}

func fragment6(ip []byte, id uint32, off int, more bool) { //nolint:revive // a header bit
	binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-ip6Len)) //nolint:gosec // at most the MTU
	h := ip[ip6Len:]
	h[0], ip[6] = ip[6], 44                        // the fragment header (RFC 8200, section 4.5)
	binary.BigEndian.PutUint16(h[2:], uint16(off)) //nolint:gosec // an offset in a packet, a multiple of 8
	if more {
		h[3] |= 1
	}
	binary.BigEndian.PutUint32(h[4:], id)
}

// arpPacket is an ARP packet in a frame from us: op 1 asks who has dst, 2 tells
// dst at to that we have src.
func arpPacket(op byte, from, to mac, src, dst netip.Addr) []byte {
	b := make([]byte, sys.VnetHeaderLen+ethLen+28)
	p := b[sys.VnetHeaderLen+ethLen:]
	copy(p, []byte{0, 1, 8, 0, 6, 4, 0, op})
	s, d := src.As4(), dst.As4()
	copy(p[8:], from[:])
	copy(p[14:], s[:])
	if op == 2 {
		copy(p[18:], to[:])
	}
	copy(p[24:], d[:])
	return b
}

// neighborPacket is a neighbour solicitation for dst, or an advertisement that
// we have src, in a frame from us (RFC 4861, sections 4.3 and 4.4).
func neighborPacket(kind byte, from mac, src, dst netip.Addr) []byte {
	buf := make([]byte, headroom-icmpLen+32)
	msg := buf[headroom-icmpLen:]
	target, option := src.As16(), byte(2) // target link-layer address
	if kind == ndpNeighborSolicit {
		target, option = dst.As16(), 1 // source link-layer address
		dst = solicitedNode(dst)
	} else {
		msg[4] = 0x80 | 0x20 // router, override
		if dst.IsMulticast() {
			msg[4] &^= 0x40
		} else {
			msg[4] |= 0x40 // solicited
		}
	}
	copy(msg[8:], target[:])
	msg[24], msg[25] = option, 1
	copy(msg[26:], from[:])
	b := icmpPacket(buf, kind, 0, src, dst)
	b[sys.VnetHeaderLen+ethLen+7] = 255 // hop limit: on this link
	return b
}

// solicitedNode is the group of those who may have a (RFC 4291, section 2.7.1).
func solicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// groupMAC is the hardware address of an IPv6 group (RFC 2464, section 7).
func groupMAC(a netip.Addr) mac {
	b := a.As16()
	return mac{0x33, 0x33, b[12], b[13], b[14], b[15]}
}
