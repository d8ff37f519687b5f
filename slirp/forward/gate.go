package forward

import (
	"net/netip"
	"sync"
)

// A Gate bounds how many things exist at one time, in all and for one guest.
type Gate struct {
	mu         sync.Mutex
	max, share int
	total      int
	guests     map[netip.Addr]int
}

// NewGate returns a gate for max things, share of them of one guest.
func NewGate(max, share int) *Gate {
	return &Gate{max: max, share: share, guests: map[netip.Addr]int{}}
}

// Enter reports whether guest may have one more; then Leave must follow.
func (g *Gate) Enter(guest netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total >= g.max || g.guests[guest] >= g.share {
		return false
	}
	g.total++
	g.guests[guest]++
	return true
}

// Leave takes back one Enter.
func (g *Gate) Leave(guest netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	if g.guests[guest]--; g.guests[guest] == 0 {
		delete(g.guests, guest)
	}
}

// Count is how many there are.
func (g *Gate) Count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.total
}
