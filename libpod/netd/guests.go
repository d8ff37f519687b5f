package netd

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
)

// guests is what guests may, by their addresses.
type guests struct {
	mu   sync.RWMutex
	host map[netip.Addr]spec.Loopback
}

func newGuests() *guests { return &guests{host: map[netip.Addr]spec.Loopback{}} }

func addrsOf(m member.Member) []netip.Addr {
	return slices.DeleteFunc([]netip.Addr{ip.Addr(m.IPv4), ip.Addr(m.IPv6)}, func(a netip.Addr) bool { return !a.IsValid() })
}

// add enters a member, whose addresses nobody has.
func (g *guests) add(m member.Member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range addrsOf(m) {
		g.host[a] = m.Host
	}
}

// remove takes m, which add entered, out again.
func (g *guests) remove(m member.Member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range addrsOf(m) {
		delete(g.host, a)
	}
}

// hostOf is what the guest at a may reach of the host.
func (g *guests) hostOf(a netip.Addr) spec.Loopback {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.host[a]
}
