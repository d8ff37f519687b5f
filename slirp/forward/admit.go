// Package forward is the host's side of a network's flows: which destinations
// guests may have, opening sockets to them, listening for published ports, and
// limits. It knows nothing about packets, so every in-process backend shares it.
package forward

import (
	"context"
	"errors"
	"net/netip"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp"
)

// An Outcome says what became of opening a flow, in terms of what the guest is
// told.
type Outcome uint8

// The outcomes. Each but Opened has an answer of its own in TCP and ICMP.
const (
	Opened          Outcome = iota
	Refused                 // nobody listens
	NetUnreachable          // no route
	HostUnreachable         // a router or neighbour says so, or nobody answers
	Prohibited              // by a rule, here or on the way
	Dropped                 // no answer: by a rule, or for lack of resources
)

// Rules decide about destinations. The zero value is not usable; see NewRules.
type Rules struct {
	cfg    slirp.Config
	routes remembered
}

// NewRules returns the rules of cfg, which has its defaults. routeTo asks the
// host's routing, as inet.Netlink.RouteTo does.
func NewRules(cfg slirp.Config, routeTo func(netip.Addr) (inet.RouteType, error)) *Rules {
	return &Rules{cfg: cfg, routes: remembered{ask: routeTo, known: map[netip.Addr]route{}}}
}

// Admit decides about f and returns the address to open on the host, which is
// not always the one that the guest wrote. Everything but Opened is a denial.
func (r *Rules) Admit(ctx context.Context, f slirp.Flow) (netip.AddrPort, Outcome) {
	dst, outcome := r.target(f)
	if outcome != Opened || r.cfg.Egress == nil {
		return dst, outcome
	}
	switch r.cfg.Egress(ctx, f) {
	case slirp.Allow:
		return dst, Opened
	case slirp.Reject:
		return dst, Prohibited
	default:
		return dst, Dropped
	}
}

func (r *Rules) target(f slirp.Flow) (netip.AddrPort, Outcome) {
	if of := r.cfg.Host.AliasOf; of != nil {
		if host, ok := of(f); ok {
			if !host.IsValid() {
				return f.Dst, Refused
			}
			return netip.AddrPortFrom(host, f.Dst.Port()), Opened
		}
	}
	aliased := false
	for _, a := range r.cfg.Host.Aliases {
		if a.Guest != f.Dst.Addr() {
			continue
		}
		aliased = true
		if portAllowed(a.Ports, f) {
			return netip.AddrPortFrom(a.Host, f.Dst.Port()), Opened
		}
	}
	addr := f.Dst.Addr()
	switch {
	case aliased:
		return f.Dst, Refused
	case r.inSubnet(addr):
		return f.Dst, Refused
	case never(addr):
		return f.Dst, NetUnreachable
	}
	kind, err := r.routes.to(addr)
	switch {
	case err != nil:
		return f.Dst, outcomeOr(err, NetUnreachable)
	case kind == inet.RouteUnicast || kind == inet.RouteLocal && r.cfg.Host.Addrs:
		return f.Dst, Opened
	case kind == inet.RouteLocal:
		return f.Dst, Refused
	}
	return f.Dst, NetUnreachable // broadcast, multicast, prohibited and so on
}

func portAllowed(ranges []slirp.PortRange, f slirp.Flow) bool {
	if ranges == nil {
		return true
	}
	if f.Proto == slirp.Echo {
		return false
	}
	for _, r := range ranges {
		if r.Contains(f.Dst.Port()) {
			return true
		}
	}
	return false
}

func (r *Rules) inSubnet(a netip.Addr) bool {
	return r.cfg.IPv4.Prefix.IsValid() && r.cfg.IPv4.Prefix.Contains(a) ||
		r.cfg.IPv6.Prefix.IsValid() && r.cfg.IPv6.Prefix.Contains(a)
}

// never reports whether a can't be the destination of anything that leaves a
// host, whatever its routes say: a socket that connects to 0.0.0.0, ::, or an IPv4
// address in IPv6 form reaches the loopback.
func never(a netip.Addr) bool {
	if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.Is4In6() || a.Zone() != "" {
		return true
	}
	if a.Is4() {
		b := a.As4()
		return b[0] == 0 || b[0] >= 240 // "this network" and class E (RFC 6890)
	}
	b := a.As16()
	return a.IsLinkLocalUnicast() || // means nothing without an interface
		[12]byte(b[:12]) == [12]byte{} // IPv4-compatible, deprecated (RFC 4291, section 2.5.5.1)
}

// OutcomeOf translates the error of a socket call.
func OutcomeOf(err error) Outcome { return outcomeOr(err, HostUnreachable) }

func outcomeOr(err error, other Outcome) Outcome {
	for _, c := range []struct {
		errno   syscall.Errno
		outcome Outcome
	}{
		{syscall.ECONNREFUSED, Refused},
		{syscall.ECONNRESET, Refused},
		{syscall.ENETUNREACH, NetUnreachable},
		{syscall.EHOSTUNREACH, HostUnreachable},
		{syscall.EHOSTDOWN, HostUnreachable},
		{syscall.ETIMEDOUT, HostUnreachable},
		{syscall.EACCES, Prohibited},
		{syscall.EPERM, Prohibited},
		{syscall.EINVAL, NetUnreachable}, // a blackhole route (ip-route(8))
		{syscall.EAFNOSUPPORT, NetUnreachable},
		{syscall.EADDRNOTAVAIL, NetUnreachable}, // no source address, or no port left
		{syscall.EMFILE, Dropped},
		{syscall.ENFILE, Dropped},
		{syscall.ENOBUFS, Dropped},
		{syscall.ENOMEM, Dropped},
	} {
		if errors.Is(err, c.errno) {
			return c.outcome
		}
	}
	if errors.Is(err, context.Canceled) {
		return Dropped
	}
	return other
}
