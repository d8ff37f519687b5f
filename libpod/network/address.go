package network

import (
	"crypto/sha256"
	"net/netip"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
)

// last is the highest address of p.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := range b {
		host := min(max((i+1)*8-p.Bits(), 0), 8) // bits of this byte that are the host's
		b[i] |= byte(1<<host - 1)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// usable reports whether a host of the subnet p can have the address a: it is not
// the subnet's own (RFC 4291, section 2.6.1 for IPv6), nor its broadcast address.
func usable(p netip.Prefix, a netip.Addr) bool {
	return p.Contains(a) && a != p.Masked().Addr() && (a.Is6() || a != last(p))
}

// bounds are the first and last address of s that are dealt out.
func bounds(s ip.Subnet) (lo, hi netip.Addr) {
	lo, hi = s.Prefix.Masked().Addr(), last(s.Prefix)
	if s.RangeFirst.IsValid() {
		lo, hi = s.RangeFirst, s.RangeLast
	}
	if lo == s.Prefix.Masked().Addr() {
		lo = lo.Next()
	}
	if hi.Is4() && hi == last(s.Prefix) {
		hi = hi.Prev()
	}
	return lo, hi
}

// next finds an address of s that free agrees to, the first one after the one dealt
// out before: an address that was given up rests as long as there are others, so
// that nobody takes its new holder for the old. ok is false where none is left.
func next(s ip.Subnet, before netip.Addr, free func(netip.Addr) bool) (a netip.Addr, ok bool) {
	lo, hi := bounds(s)
	if hi.Less(lo) {
		return netip.Addr{}, false
	}
	start := before.WithZone("").Next()
	if !before.IsValid() || start.Less(lo) || hi.Less(start) || !start.IsValid() {
		start = lo
	}
	for a = start; ; {
		if a != s.Gateway && free(a) {
			return a, true
		}
		if a == hi {
			a = lo
		} else {
			a = a.Next()
		}
		if a == start {
			return netip.Addr{}, false
		}
	}
}

// macOf is the hardware address that goes with an address of a network: two
// addresses never have the same, and an address always has the same, so that
// neighbours who remember it are right.
func macOf(a netip.Addr) spec.MAC {
	m := spec.MAC{0x02, 0x42} // locally administered, as Docker's
	if a.Is4() {
		b := a.As4()
		copy(m[2:], b[:])
		return m
	}
	b := a.As16()
	sum := sha256.Sum256(b[:])
	copy(m[1:], sum[:])
	return m
}
