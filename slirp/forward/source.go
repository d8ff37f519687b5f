package forward

import (
	"net/netip"

	"github.com/nook-containers/nook/slirp"
)

// Inner says between which addresses the connection of a client to a published
// port goes on inside: from is what the guest sees as the client, to is the guest.
// A from with port 0 means any port.
func Inner(cfg slirp.Config, p slirp.Port, client netip.AddrPort) (from, to netip.AddrPort) {
	client = netip.AddrPortFrom(client.Addr().Unmap().WithZone(""), client.Port())
	guest := p.Guest[0]
	for _, g := range p.Guest {
		if g.Is4() == client.Addr().Is4() {
			guest = g
		}
	}
	to = netip.AddrPortFrom(guest, p.GuestPort)
	subnet := cfg.IPv4
	if guest.Is6() {
		subnet = cfg.IPv6
	}
	a := client.Addr()
	if p.Source == slirp.SourceGateway || a.Is4() != guest.Is4() || a.IsLoopback() || a.IsLinkLocalUnicast() ||
		a.IsUnspecified() || subnet.Prefix.Contains(a) {
		return netip.AddrPortFrom(subnet.Gateway, 0), to
	}
	return client, to
}
