package netd

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/nook-containers/nook/libpod/egress"
	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
)

// guests is what guests may, by their addresses.
type guests struct {
	mu     sync.Mutex
	byAddr map[netip.Addr]*rights
	more   chan struct{} // closed when one comes
	// settled is when those of a former process must have come back.
	settled time.Time
}

// rights is what one guest may.
type rights struct {
	member.Member

	own, network *egress.Guest

	mu   sync.Mutex
	told map[string]struct{} // where it wanted to go and may not
}

func newGuests() *guests {
	return &guests{byAddr: map[netip.Addr]*rights{}, more: make(chan struct{})}
}

// newRights reads what m and its network say.
func newRights(m member.Member, n spec.Network) (*rights, error) {
	own, err := egress.Parse(m.Egress)
	if err != nil {
		return nil, err
	}
	common, err := egress.Parse(n.Egress)
	if err != nil {
		return nil, err
	}
	return &rights{Member: m, own: egress.NewGuest(own), network: egress.NewGuest(common), told: map[string]struct{}{}}, nil
}

func addrsOf(m member.Member) []netip.Addr {
	return slices.DeleteFunc([]netip.Addr{ip.Addr(m.IPv4), ip.Addr(m.IPv6)}, func(a netip.Addr) bool { return !a.IsValid() })
}

// add enters a member, whose addresses nobody has but an earlier membership of its
// own.
func (g *guests) add(r *rights) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range addrsOf(r.Member) {
		g.byAddr[a] = r
	}
	close(g.more)
	g.more = make(chan struct{})
}

// remove takes r out again, where it has not been replaced.
func (g *guests) remove(r *rights) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range addrsOf(r.Member) {
		if g.byAddr[a] == r {
			delete(g.byAddr, a)
		}
	}
}

// inherited tells that guests of a former process are there, who are going to come
// back.
func (g *guests) inherited() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settled = time.Now().Add(inherit)
}

// at is the guest with an address, nil if there is none.
func (g *guests) at(a netip.Addr) *rights {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.byAddr[a]
}

// await is at for who may have been a guest of the former process.
func (g *guests) await(ctx context.Context, a netip.Addr) *rights {
	for {
		g.mu.Lock()
		r, more, left := g.byAddr[a], g.more, time.Until(g.settled)
		g.mu.Unlock()
		if r != nil || left <= 0 {
			return r
		}
		select {
		case <-more:
		case <-time.After(left):
		case <-ctx.Done():
			return nil
		}
	}
}

// loopback is what the guest at a may reach of the host's loopback.
func (g *guests) loopback(a netip.Addr) spec.Loopback {
	if r := g.at(a); r != nil {
		return r.Host
	}
	return spec.Loopback{}
}

// allows reports whether the guest may go to dst, whose port is 0 for what has none.
func (r *rights) allows(dst netip.AddrPort) bool {
	for _, g := range []*egress.Guest{r.own, r.network} {
		byName := dst.Addr() == network.HostAlias() && g.AllowsName(dst.Port(), "host.containers.internal", "host.docker.internal")
		if !byName && !g.Allows(dst) {
			return false
		}
	}
	return true
}

// mayAsk reports whether the guest may look a name up.
func (r *rights) mayAsk(name string) bool { return r.own.MayAsk(name) && r.network.MayAsk(name) }

// toldMost is how many places are told of one guest.
const toldMost = 256

// tell reports whether nobody was told yet that the guest may not go to place, and
// whether it is the last one that anybody is told of.
func (r *rights) tell(place string) (first, last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, told := r.told[place]; told || len(r.told) == toldMost {
		return false, false
	}
	r.told[place] = struct{}{}
	return true, len(r.told) == toldMost
}
