// Package relay is a guest's other end of TCP connections, and carries their bytes to
// and from sockets of the host.
//
// # Theory of operation
//
// The link to a guest is memory: it neither delays nor reorders, and loses a frame only
// where a queue overflows. So this end of a connection is small. What a guest sends is
// written to the host's socket where it lies in the frame, and acknowledged; what the
// socket does not take is held, and the window shrinks by as much. What comes after a gap
// is kept, and the guest told. What the host's socket has is read straight into
// the frame that goes to the guest, as much as its window takes, and kept until it is
// acknowledged; the rest stays in the socket, so its other end is slowed down. A segment
// is sent again after three equal acknowledgements, or after a while. There is no
// congestion on the way, and no control of it.
//
// A guest's SYN is answered when the host's connection is there. For a client of the
// host (Call) the guest is sent one, and what the client says waits in its socket.
// Refusals, resets and half-closed connections are carried over. A connection that the
// host's side closed first is remembered for a moment, to acknowledge what the guest
// repeats (TIME-WAIT).
//
// What connections may hold is the budget over twice their number, for the two
// directions, rounded down to a power of two.
//
// All this happens in one loop, without locks, goroutines or timers of connections: the
// few that wait for something are looked at together, from time to time.
//
// RFC 9293 is the protocol, RFC 7323 window scaling (timestamps are not offered),
// RFC 2018 what is told of gaps, RFC 5961 what becomes of blind resets.
package relay

import (
	"net/netip"
	"time"

	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/forward"
	"github.com/nook-containers/nook/slirp/internal/loop"
)

const (
	// tick is how often flows that wait for something are looked at.
	tick = 50 * time.Millisecond

	// remember is how long the end of a connection is remembered, and maxRemembered of
	// how many.
	remember      = time.Second
	maxRemembered = 4096

	// maxShare and minShare bound what a flow may hold in each direction, in bytes.
	maxShare = 4 << 20
	minShare = 8 << 10

	// spares are how many buffers for large frames are kept.
	spares = 32
)

// A Network is what a relay needs of the one that it is part of. Its methods are called
// in the loop, and do not wait.
type Network interface {
	// Admit decides about f, and calls then in the loop, now or later.
	Admit(f slirp.Flow, then func(dst netip.AddrPort, outcome forward.Outcome))

	// Send completes the frame, which has Config.Headroom bytes of room, a TCP header
	// without a checksum, and payload that the receiver cuts into segments of mss bytes,
	// and sends it to the guest. It keeps nothing of it.
	Send(frame []byte, from, to netip.AddrPort, mss int)

	// Refuse sends the ICMP error for why about the packet that quote begins.
	Refuse(quote []byte, why forward.Outcome)

	// Count notes what has happened.
	Count(what Event)

	// Moved notes bytes for the host and for the guest.
	Moved(out, in int)

	// Shortage notes an error that may be this process's own lack of something.
	Shortage(err error)
}

// An Event is something that is counted.
type Event uint8

// The events.
const (
	Limited Event = iota // a flow met a limit
	Denied               // or a rule
	Failed               // or nobody on the host's side
	Opened               // it is open
	Closed               // it was
)

// Config is what a relay starts with.
type Config struct {
	Network     Network
	Loop        *loop.Loop
	Half, Open  *forward.Gate // for connections being opened, and open
	MTU         int
	Headroom    int
	Budget      int           // bytes that connections may hold
	ConnectWait time.Duration // for a connection to the host's side
	CallWait    time.Duration // for a guest to accept a client
}

// A Relay has the connections that guests opened. Its methods are called in the loop.
type Relay struct {
	Config

	flows  map[key]*flow
	closed bool
	owing  []*flow // acknowledgements, perhaps
	timed  []*flow // have a deadline, or had one
	ticks  bool
	kept   int // flows that have ended
	live   int // flows that are open
	share  int // what each may hold in each direction

	began   time.Time
	control []byte   // room for a segment without payload
	spare   [][]byte // for large frames
}

// A key names a connection.
type key struct{ guest, remote netip.AddrPort }

// New returns a relay without connections.
func New(cfg Config) *Relay {
	r := &Relay{Config: cfg, flows: map[key]*flow{}, began: time.Now(), control: make([]byte, cfg.Headroom+headerLen+maxOptions)}
	r.opened(0)
	return r
}

// opened notes that there are d more open flows.
func (r *Relay) opened(d int) {
	r.live += d
	share := r.Budget / (2 * max(r.live, 1))
	for r.share = maxShare; r.share > share && r.share > minShare; {
		r.share /= 2
	}
}

// Segment handles s, and reports false where it neither belongs to a connection nor
// opens one.
func (r *Relay) Segment(s *Segment) bool {
	if f := r.flows[key{s.Guest, s.Remote}]; f != nil {
		f.segment(s)
		return true
	}
	if s.flags()&(flagSYN|flagACK|flagRST) != flagSYN {
		return false
	}
	r.open(s)
	return true
}

// Close resets all connections.
func (r *Relay) Close() {
	r.closed = true
	for _, f := range r.flows {
		f.reset()
	}
	r.Calm()
}

// Abandon resets the connections that Call made for owner.
func (r *Relay) Abandon(owner any) {
	for _, f := range r.flows {
		if f.owner == owner {
			f.reset()
		}
	}
}

// Away ends the calls of a guest that nobody finds.
func (r *Relay) Away(guest netip.Addr) {
	for _, f := range r.flows {
		if f.state == calling && f.key.guest.Addr() == guest {
			f.unanswered()
		}
	}
}

// Calm gives back memory that only waits to be used again.
func (r *Relay) Calm() { r.spare = nil }

// Flush sends the acknowledgements that are owed: with hold set not those that a
// segment with data may carry in a moment, unless they have waited for that once.
func (r *Relay) Flush(hold bool) {
	kept := r.owing[:0]
	for _, f := range r.owing {
		switch {
		case !f.owes:
		case hold && !f.waited && int(f.rcvNxt-f.acked) < prompt && f.state == open && !f.guestFIN:
			f.waited = true
			kept = append(kept, f)
			continue
		default:
			f.acknowledge()
		}
		f.owes, f.waited = false, false
	}
	clear(r.owing[len(kept):])
	r.owing = kept
}

// now is the time since the start.
func (r *Relay) now() time.Duration { return time.Since(r.began) }

// at has f looked at after d.
func (r *Relay) at(f *flow, d time.Duration) {
	f.deadline = r.now() + d
	if !f.timed {
		f.timed = true
		r.timed = append(r.timed, f)
	}
	if !r.ticks {
		r.ticks = true
		time.AfterFunc(tick, r.soon)
	}
}

func (r *Relay) soon() { r.Loop.Do(loop.Func(r.look)) }

// look looks at the flows with a deadline.
func (r *Relay) look() {
	now := r.now()
	kept := r.timed[:0]
	for _, f := range r.timed {
		if f.deadline != 0 && f.deadline <= now {
			f.deadline = 0
			f.expire(now)
		}
		if f.deadline != 0 {
			kept = append(kept, f)
		} else {
			f.timed = false
		}
	}
	clear(r.timed[len(kept):])
	r.timed = kept
	if r.ticks = len(kept) > 0; r.ticks {
		time.AfterFunc(tick, r.soon)
	}
}

// buffer returns room for a large frame, which forget may get back.
func (r *Relay) buffer() []byte {
	if n := len(r.spare); n > 0 {
		b := r.spare[n-1]
		r.spare = r.spare[:n-1]
		return b
	}
	return make([]byte, r.Headroom+headerLen+maxPayload)
}

func (r *Relay) forget(b []byte) {
	if cap(b) == r.Headroom+headerLen+maxPayload && len(r.spare) < spares {
		r.spare = append(r.spare, b[:cap(b)])
	}
}
