package netstack

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// asks and askEvery say how long a guest is looked for (RFC 4861, section 10:
	// MAX_MULTICAST_SOLICIT and RETRANS_TIMER).
	asks     = 3
	askEvery = time.Second

	maxWaiting    = 4   // packets for one guest that is being looked for
	maxWaitingAll = 256 // and for all
)

// neighbours maps the addresses of guests to hardware addresses. It learns from
// every frame with a plausible source, and asks for guests that have not spoken
// yet. It is bounded: where it is full a new address displaces any other.
type neighbours struct {
	mu      sync.RWMutex
	max     int
	macs    map[netip.Addr]mac
	pending map[netip.Addr]*search
	waiting int
	closed  bool

	ask  func(netip.Addr)           // sends a request
	send func(frame []byte, to mac) // sends a packet that waited
	fail func(to netip.Addr, n int) // n packets were dropped
}

type search struct {
	frames [][]byte
	left   int
	timer  *time.Timer
}

func newNeighbours(limit int) *neighbours {
	return &neighbours{max: limit, macs: map[netip.Addr]mac{}, pending: map[netip.Addr]*search{}}
}

// learn notes where a guest is and sends what waited for it.
func (n *neighbours) learn(a netip.Addr, m mac) {
	n.mu.RLock()
	have, ok := n.macs[a]
	n.mu.RUnlock()
	if ok && have == m {
		return
	}
	n.mu.Lock()
	if !ok && len(n.macs) >= n.max {
		for old := range n.macs {
			delete(n.macs, old)
			break
		}
	}
	n.macs[a] = m
	s := n.pending[a]
	if s != nil {
		n.dropLocked(a, s)
	}
	n.mu.Unlock()
	if s != nil {
		for _, f := range s.frames {
			n.send(f, m)
		}
	}
}

// lookup returns where a guest is, if it is known.
func (n *neighbours) lookup(a netip.Addr) (mac, bool) {
	n.mu.RLock()
	m, ok := n.macs[a]
	n.mu.RUnlock()
	return m, ok
}

// wait keeps a copy of frame until a answers. It reports whether there was room.
func (n *neighbours) wait(a netip.Addr, frame []byte) bool {
	n.mu.Lock()
	if n.closed || n.waiting >= maxWaitingAll {
		n.mu.Unlock()
		return false
	}
	s := n.pending[a]
	fresh := s == nil
	if fresh {
		s = &search{left: asks}
		n.pending[a] = s
	}
	if len(s.frames) >= maxWaiting {
		n.mu.Unlock()
		return false
	}
	s.frames = append(s.frames, append([]byte(nil), frame...))
	n.waiting++
	n.mu.Unlock()
	if fresh {
		n.askAgain(a, s)
	}
	return true
}

func (n *neighbours) askAgain(a netip.Addr, s *search) {
	n.mu.Lock()
	if n.pending[a] != s {
		n.mu.Unlock()
		return
	}
	if s.left == 0 {
		n.dropLocked(a, s)
		n.mu.Unlock()
		n.fail(a, len(s.frames))
		return
	}
	s.left--
	s.timer = time.AfterFunc(askEvery, func() { n.askAgain(a, s) })
	n.mu.Unlock()
	n.ask(a)
}

func (n *neighbours) dropLocked(a netip.Addr, s *search) {
	delete(n.pending, a)
	n.waiting -= len(s.frames)
	if s.timer != nil {
		s.timer.Stop()
	}
}

// close forgets everything and stops asking.
func (n *neighbours) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for a, s := range n.pending {
		n.dropLocked(a, s)
	}
	clear(n.macs)
}
