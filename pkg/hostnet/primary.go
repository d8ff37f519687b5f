package hostnet

import (
	"net"
	"net/netip"
)

// elsewhere is an address that is not on any link: how the host would reach it
// says which of its addresses others see. Nothing is sent there (RFC 5737).
const elsewhere = "192.0.2.1:9"

// Primary is the IPv4 address of the host that the way out has, or without one
// any other than loopback; the zero Addr if there is none. It is not except, which
// may be the zero Addr.
func Primary(except netip.Addr) netip.Addr {
	if c, err := net.Dial("udp4", elsewhere); err == nil { //nolint:noctx // connect(2) of a datagram socket does not wait
		defer c.Close()
		if a, ok := c.LocalAddr().(*net.UDPAddr); ok && !a.IP.IsLoopback() && a.AddrPort().Addr() != except {
			return a.AddrPort().Addr()
		}
	}
	addrs, _ := net.InterfaceAddrs() // none is an answer too
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() && p.Addr() != except {
			return p.Addr()
		}
	}
	return netip.Addr{}
}
