// Package ip is between the addresses of package spec, which are text, and
// net/netip, which computes with them. What was parsed once, as a network's
// addresses are whenever it is read, is turned by Addr and Prefix; what comes from
// elsewhere by ParseAddr and ParseSubnet, which report text that is no address.
package ip

import (
	"fmt"
	"net/netip"

	"github.com/nook-containers/nook/libpod/spec"
)

// ParseAddr reads a; "" is the zero Addr.
func ParseAddr(a spec.Addr) (netip.Addr, error) {
	if a == "" {
		return netip.Addr{}, nil
	}
	out, err := netip.ParseAddr(string(a))
	if err != nil {
		return out, fmt.Errorf("address %q: not one of IPv4 or IPv6", string(a))
	}
	return out, nil
}

// parsePrefix reads p; "" is the zero Prefix.
func parsePrefix(p spec.Prefix) (netip.Prefix, error) {
	if p == "" {
		return netip.Prefix{}, nil
	}
	out, err := netip.ParsePrefix(string(p))
	if err != nil {
		return out, fmt.Errorf("subnet %q: not an address and its bits", string(p))
	}
	return out, nil
}

// Addr is a, or the zero Addr where a is none.
func Addr(a spec.Addr) netip.Addr {
	out, _ := netip.ParseAddr(string(a)) // none is the zero Addr
	return out
}

// Addrs is Addr of each.
func Addrs(list []spec.Addr) []netip.Addr { return each(list, Addr) }

// Prefix is p, or the zero Prefix where p is none.
func Prefix(p spec.Prefix) netip.Prefix {
	out, _ := netip.ParsePrefix(string(p)) // none is the zero Prefix
	return out
}

// Text is a as package spec has it.
func Text(a netip.Addr) spec.Addr {
	if !a.IsValid() {
		return ""
	}
	return spec.Addr(a.String())
}

// Texts is Text of each.
func Texts(list []netip.Addr) []spec.Addr { return each(list, Text) }

// PrefixText is p as package spec has it.
func PrefixText(p netip.Prefix) spec.Prefix {
	if !p.IsValid() {
		return ""
	}
	return spec.Prefix(p.String())
}

// Subnet is a subnet to compute with.
type Subnet struct {
	Prefix                netip.Prefix
	Gateway               netip.Addr
	RangeFirst, RangeLast netip.Addr // not valid: no range
}

// ParseSubnet reads s.
func ParseSubnet(s spec.Subnet) (out Subnet, err error) {
	if out.Prefix, err = parsePrefix(s.Prefix); err != nil {
		return out, err
	}
	for _, a := range []struct {
		to   *netip.Addr
		text spec.Addr
	}{{&out.Gateway, s.Gateway}, {&out.RangeFirst, s.RangeFirst}, {&out.RangeLast, s.RangeLast}} {
		if *a.to, err = ParseAddr(a.text); err != nil {
			return out, fmt.Errorf("subnet %s: %w", s.Prefix, err)
		}
	}
	return out, nil
}

// SubnetOf is the subnet of one family that a network has; ok is false if it has
// none.
func SubnetOf(n spec.Network, v6 bool) (out Subnet, ok bool) {
	s, ok := n.Subnet(v6)
	out, _ = ParseSubnet(s) // it was checked when the network was read
	return out, ok
}

// SubnetText is s as package spec has it.
func SubnetText(s Subnet) spec.Subnet {
	return spec.Subnet{
		Prefix: PrefixText(s.Prefix), Gateway: Text(s.Gateway),
		RangeFirst: Text(s.RangeFirst), RangeLast: Text(s.RangeLast),
	}
}

// each keeps nil nil, so that what is written of it stays the same.
func each[A, B any](list []A, f func(A) B) []B {
	if list == nil {
		return nil
	}
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = f(a)
	}
	return out
}
