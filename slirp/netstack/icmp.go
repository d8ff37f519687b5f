package netstack

import (
	"encoding/binary"
	"net/netip"

	"github.com/nook-containers/nook/slirp/forward"
)

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
