package relay

import (
	"os"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp/internal/loop"
)

// The states of a flow.
type state uint8

const (
	opening  state = iota // the host's side is being connected
	calling               // our SYN is sent, for a client of the host
	answered              // our SYN is sent, for the guest's
	open
	ended // remembered
	gone
)

// A flow is a connection of a guest with a socket of the host.
type flow struct {
	r     *Relay
	key   key
	state state
	owner any // of a call

	// the host's side
	fd       int // -1: none
	id       loop.ID
	watched  bool
	sock     *inet.TCPSocket // while it is being connected
	readable bool            // it may have something
	hup      bool            // its other end has stopped sending, or failed
	entered  bool            // the gate of open ones
	queued   bool            // for another turn

	// what the guest sends
	rcvNxt   seq // the next byte
	edge     seq // the first that it may not send
	acked    seq // the last that was acknowledged
	rcvScale int
	held     []byte  // what the host has not taken
	ahead    []piece // what came after a gap, in order
	newest   seq     // where the one is that came last
	sack     bool    // the guest wants to hear of that
	guestFIN bool
	shut     bool // the host was told
	owes     bool // an acknowledgement
	waited   bool // and waited for data to carry it

	// what it gets
	una, nxt seq // the first that is not acknowledged, the next to send
	mss      int
	window   int
	scale    int
	scaled   bool
	updated  [2]seq // the segment, by its numbers, that said window
	sent     []sent
	hostEOF  bool // our FIN is sent
	first    bool // and the guest's was not there
	equal    int  // acknowledgements
	recover  seq  // up to where there may be gaps
	mending  bool

	// waiting
	quote    []byte        // of the SYN
	deadline time.Duration // 0: none
	timed    bool          // in Relay.timed
	wait     time.Duration // the last one
	since    time.Duration // when the guest made progress
	tries    int
	until    time.Duration // when a call is given up
}

// Ready is called by the loop when something has happened to the socket.
func (f *flow) Ready(ev sys.PollEvents) {
	const end = sys.PollRdHup | sys.PollHup | sys.PollErr
	f.hup = f.hup || ev&end != 0
	f.readable = f.readable || ev&(end|sys.PollIn) != 0
	switch {
	case f.state == opening:
		switch done, err := f.sock.Connect(); {
		case err != nil:
			f.failed(err)
		case done:
			f.connected()
		}
	case f.state != open:
	case f.hostEOF && ev&sys.PollErr != 0 && sys.SocketError(f.fd) != nil:
		f.reset() // else there may be data to read that came before the error
	case ev&sys.PollOut != 0 && len(f.held) > 0 && !f.release():
	default:
		f.pull()
	}
}

// Run goes on where a turn was too long.
func (f *flow) Run() {
	f.queued = false
	f.pull()
}

// segment handles what the guest has sent.
func (f *flow) segment(s *Segment) {
	switch f.state {
	case opening:
		if s.has(flagRST) && s.seq() == f.rcvNxt { // it does not wait any longer
			f.abort()
		}
	case calling:
		f.called(s)
	case ended:
		f.remembered(s)
	default:
		f.current(s)
	}
}

// remembered handles what comes after the end.
func (f *flow) remembered(s *Segment) {
	switch {
	case s.has(flagRST):
		f.drop()
	case s.flags()&(flagSYN|flagACK) == flagSYN: // the port is used again
		f.drop()
		f.r.open(s)
	case s.size() > 0 || s.has(flagFIN):
		f.acknowledge()
	}
}

// current handles a segment of a connection that is there (RFC 9293, section 3.10.7).
func (f *flow) current(s *Segment) {
	switch {
	case s.has(flagRST):
		if s.seq() == f.rcvNxt {
			f.abort()
		} else if d := s.seq().after(f.rcvNxt); d > 0 && d < f.edge.after(f.rcvNxt) {
			f.acknowledge() // who really means it repeats it (RFC 5961, section 3)
		}
		return
	case s.has(flagSYN):
		if f.state == answered && s.seq() == f.rcvNxt-1 {
			f.introduce()
		} else {
			f.acknowledge() // RFC 5961, section 4
		}
		return
	case !s.has(flagACK):
		return
	}
	if f.state == answered {
		if s.ack() != f.nxt {
			f.acknowledge()
			return
		}
		f.established(s)
	}
	if f.confirm(s) && f.take(s) && f.state == open {
		f.pull()
	}
}

// expire is called when f has waited for long enough.
func (f *flow) expire(now time.Duration) {
	switch f.state {
	case opening:
		f.failed(os.ErrDeadlineExceeded)
	case calling:
		if now >= f.until {
			f.unanswered()
			return
		}
		f.tries++
		f.introduce()
	case answered:
		if f.tries++; f.tries > introductions {
			f.reset()
			return
		}
		f.introduce()
	case open:
		f.repeat(now)
	case ended, gone:
		f.drop()
	}
}

// settle ends what has ended.
func (f *flow) settle() {
	if !f.guestFIN || len(f.held) > 0 {
		return
	}
	switch {
	case !f.hostEOF:
		if !f.shut {
			f.shut = true
			_ = inet.Shut(f.fd)
		}
		return
	case f.fd >= 0:
		f.closeHost() // what is left is the guest's to take
	}
	if f.una != f.nxt {
		return
	}
	if f.owes {
		f.acknowledge()
	}
	if !f.first || f.r.kept >= maxRemembered || f.r.closed {
		f.drop()
		return
	}
	f.setState(ended)
	f.r.kept++
	f.r.at(f, remember)
}

// reset resets both sides.
func (f *flow) reset() {
	if calling <= f.state && f.state <= open {
		f.control(flagRST | flagACK)
	}
	f.abort()
}

// abort resets the host's side, and forgets f.
func (f *flow) abort() {
	if f.fd >= 0 {
		_ = inet.ResetOnClose(f.fd)
	}
	f.drop()
}

// drop forgets f.
func (f *flow) drop() {
	if f.state == gone {
		return
	}
	f.closeHost()
	if f.state == ended {
		f.r.kept--
	}
	f.setState(gone)
	f.deadline = 0
	f.owes = false
	for _, s := range f.sent {
		f.r.forget(s.frame)
	}
	f.sent, f.held, f.ahead = nil, nil, nil
	if f.r.flows[f.key] == f { // else it got no name
		delete(f.r.flows, f.key)
	}
}

func (f *flow) closeHost() {
	if f.fd < 0 {
		return
	}
	if f.watched {
		f.r.Loop.Forget(f.id)
	}
	_ = inet.Close(f.fd)
	f.fd, f.watched = -1, false
}

// setState goes on to s, with what is counted.
func (f *flow) setState(s state) {
	guest := f.key.guest.Addr()
	if f.state == opening {
		f.r.Half.Leave(guest)
	}
	if s >= ended && f.state < ended { // over
		if f.entered {
			f.r.Open.Leave(guest)
		}
		if f.state == open {
			f.r.opened(-1)
			f.r.Network.Count(Closed)
		}
	}
	f.state = s
}
