package netd

import (
	"context"
	"net/netip"

	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/dns"
	"github.com/nook-containers/nook/pkg/hostnet"
	"github.com/nook-containers/nook/slirp"
)

// config is the stack's of the network that r is about.
func (s *server) config(r member.Request) slirp.Config {
	c := s.rules(r)
	c.Stir = s.stir
	return c
}

func (s *server) rules(r member.Request) slirp.Config {
	n := *r.Network
	c := slirp.Config{MTU: mtuOf(n), Log: s.log}
	for _, sub := range n.Subnets {
		to := &c.IPv4
		if sub.Prefix.Is6() {
			to = &c.IPv6
		}
		*to = slirp.Subnet{Prefix: ip.Prefix(sub.Prefix), Gateway: ip.Addr(sub.Gateway)}
	}
	if n.DNS {
		cfg := dnsConfig(r)
		cfg.Outside = outside{s}
		c.DNS = dns.New(cfg).Answer
	}
	c.Egress = s.egress
	if n.Internal {
		c.Egress = func(context.Context, slirp.Flow) slirp.Verdict { return slirp.Reject }
		return c
	}
	c.Host.AliasOf = s.hostFor
	return c
}

// storeOf is where the containers of a member are kept.
func storeOf(r member.Request) state.Store {
	return state.Store{Dir: r.Store.Dir, Run: r.Store.Run, Realm: r.Store.Realm}
}

// dnsConfig says what the gateway answers.
func dnsConfig(r member.Request) dns.Config {
	n := *r.Network
	store := network.Of(storeOf(r))
	c := dns.Config{Members: store.Directory(n.Name), Closed: n.Internal, Servers: ip.Addrs(n.DNSServers)}
	if !n.Internal {
		c.Host = []netip.Addr{network.HostAlias()}
	}
	for _, sub := range n.Subnets {
		c.Subnets, c.Gateway = append(c.Subnets, ip.Prefix(sub.Prefix)), append(c.Gateway, ip.Addr(sub.Gateway))
	}
	return c
}

// hostFor is what network.HostAlias stands for, for the guest that asks: the host's
// loopback where the guest may reach it, else the address that others know the host
// by.
func (s *server) hostFor(f slirp.Flow) (host netip.Addr, ok bool) {
	if f.Dst.Addr() != network.HostAlias() {
		return netip.Addr{}, false
	}
	if s.guests.loopback(f.Src.Addr()).Has(f.Dst.Port()) && f.Proto != slirp.Echo {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), true
	}
	return hostnet.Primary(netip.Addr{}), true
}
