package egress

import (
	"net/netip"
	"sync"
)

// remembered is how many addresses of names are kept for a guest, at least; the
// latest ones. A name that was forgotten is allowed again when it is asked for again.
const remembered = 2048

// set is numbers below maxRules.
type set [maxRules / 64]uint64

func (s *set) add(i int)     { s[i/64] |= 1 << (i % 64) }
func (s set) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// Guest is what one container may by one list of rules. A nil Guest may everything.
// Its methods are called from many goroutines.
type Guest struct {
	rules []Rule

	mu sync.Mutex
	// Which rules allow the name that an address was the answer to. When young is
	// full it becomes old, and what was in old alone is forgotten.
	young, old map[netip.Addr]set
}

// NewGuest returns a guest with rules of Parse; for nil it returns nil.
func NewGuest(rules []Rule) *Guest {
	if rules == nil {
		return nil
	}
	return &Guest{rules: rules, young: map[netip.Addr]set{}}
}

// MayAsk reports whether a name, in lower case and without the dot at the end, may be
// looked up outside.
func (g *Guest) MayAsk(name string) bool {
	return g == nil || g.fit(name) != set{}
}

// fit are the rules that allow a name.
func (g *Guest) fit(name string) (fit set) {
	for i, r := range g.rules {
		if r.names(name) {
			fit.add(i)
		}
	}
	return fit
}

// Answered tells which addresses a name has.
func (g *Guest) Answered(name string, addrs []netip.Addr) {
	if g == nil {
		return
	}
	fit := g.fit(name)
	if fit == (set{}) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range addrs {
		if a = a.Unmap(); a.IsLinkLocalUnicast() {
			continue
		}
		have := g.of(a)
		for i := range have {
			have[i] |= fit[i]
		}
		if _, ok := g.young[a]; !ok && len(g.young) >= remembered {
			g.young, g.old = map[netip.Addr]set{}, g.young
		}
		g.young[a] = have
	}
}

// of are the rules by whose names a is allowed.
func (g *Guest) of(a netip.Addr) set {
	if s, ok := g.young[a]; ok {
		return s
	}
	return g.old[a]
}

// Allows reports whether the guest may go to dst, whose port is 0 for what has none.
func (g *Guest) Allows(dst netip.AddrPort) bool {
	if g == nil {
		return true
	}
	a := dst.Addr().Unmap()
	g.mu.Lock()
	named := g.of(a)
	g.mu.Unlock()
	for i, r := range g.rules {
		if r.at(dst.Port()) && (named.has(i) || r.Name == "" && r.Prefix.Contains(a)) {
			return true
		}
	}
	return false
}

// AllowsName reports whether the guest may go to a port of what has one of names by
// itself, without a resolver.
func (g *Guest) AllowsName(port uint16, names ...string) bool {
	if g == nil {
		return true
	}
	for _, r := range g.rules {
		for _, n := range names {
			if r.names(n) && r.at(port) {
				return true
			}
		}
	}
	return false
}
