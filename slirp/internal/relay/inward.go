package relay

import (
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

const (
	// maxTurn is how much a flow gets at a time: with less, the guest is woken more
	// often, and with more, other flows wait for milliseconds.
	maxTurn = 1 << 20

	// large is from which size on a segment is kept in the buffer that it was read into;
	// of smaller ones a copy is kept.
	large = maxPayload / 4 * 3

	// firstWait is how long a guest has to acknowledge something before it is sent
	// again; Linux takes up to 200 ms for that on purpose. It is doubled up to lastWait.
	firstWait = 250 * time.Millisecond
	lastWait  = 30 * time.Second

	// patience is how long a guest may take to acknowledge anything at all, and linger
	// where that is all that is left of the connection. Linux gives about as much
	// (ip-sysctl, tcp_retries2; tcp(7), tcp_orphan_retries).
	patience = 15 * time.Minute
	linger   = time.Minute
)

// sent is a segment that was sent and not acknowledged.
type sent struct {
	frame    []byte // nil: our FIN
	from, to seq
}

// confirm handles what s acknowledges, and the guest's window, and reports whether f goes
// on.
func (f *flow) confirm(s *Segment) bool {
	ack := s.ack()
	if ack.after(f.nxt) > 0 { // nothing of this was sent
		f.acknowledge()
		return false
	}
	switch d := ack.after(f.una); {
	case d > 0:
		f.una = ack
		f.progress()
	case d == 0 && len(f.sent) > 0 && s.size() == 0 && !s.has(flagFIN) && s.window()<<f.scale == f.window:
		if f.equal++; f.equal == 3 && !f.mending {
			f.mend()
		}
	case d < 0:
		return true // it was overtaken
	}
	f.hear(s)
	if f.hostEOF && f.una == f.nxt {
		f.settle()
	}
	return f.state == open
}

// hear notes the guest's window, unless it is older than the one that is known.
func (f *flow) hear(s *Segment) {
	if u := f.updated; s.seq().after(u[0]) < 0 || s.seq() == u[0] && s.ack().after(u[1]) < 0 {
		return
	}
	f.updated = [2]seq{s.seq(), s.ack()}
	if f.window = s.window() << f.scale; f.window == 0 {
		f.since = f.r.now() // it is there, and busy
	}
}

// progress takes what is acknowledged from the segments that are kept.
func (f *flow) progress() {
	n := 0
	for n < len(f.sent) && f.una.after(f.sent[n].to) >= 0 {
		f.r.forget(f.sent[n].frame)
		f.sent[n].frame = nil
		n++
	}
	f.sent = f.sent[n:]
	f.equal, f.wait, f.deadline = 0, 0, 0
	if len(f.sent) == 0 {
		f.sent, f.mending = nil, false
		return
	}
	f.await()
	if f.mending && f.una.after(f.recover) < 0 {
		f.resend(&f.sent[0]) // the next gap
		return
	}
	f.mending = false
}

// mend sends again what is missing first, and then, as the guest's acknowledgements
// tell, what is missing of the rest that was sent up to now.
func (f *flow) mend() {
	f.mending, f.recover = true, f.nxt
	f.resend(&f.sent[0])
}

// await has f repeat what is not acknowledged in time.
func (f *flow) await() {
	if f.deadline != 0 {
		return
	}
	if f.wait == 0 {
		f.wait = firstWait
	}
	f.r.at(f, f.wait)
	f.since = f.deadline - f.wait
}

// repeat is called when nothing was acknowledged for a while.
func (f *flow) repeat(now time.Duration) {
	most := patience
	if f.fd < 0 {
		most = linger
	}
	switch {
	case len(f.sent) > 0 && now-f.since > most:
		f.reset()
		return
	case len(f.sent) > 0:
		f.mend()
	case f.readable:
		// The window is closed. What the guest knows already makes it tell whether it
		// still is (RFC 9293, section 3.8.6.1).
		f.probe()
	default:
		return
	}
	f.wait = min(2*f.wait, lastWait)
	f.r.at(f, f.wait)
}

// pull sends what the host's socket has, as much as the guest's window takes.
func (f *flow) pull() {
	for moved := 0; f.state == open && f.readable && !f.hostEOF; {
		if moved >= maxTurn {
			f.again()
			return
		}
		space := f.space()
		if space == 0 {
			if len(f.sent) == 0 {
				f.await()
			}
			return
		}
		moved += f.fill(space)
	}
}

// again has f take another turn, after others.
func (f *flow) again() {
	f.r.Loop.Bulk()
	if !f.queued {
		f.queued = true
		f.r.Loop.Do(f)
	}
}

// space is how much the guest takes now: a segment, or half of what it takes at all, or
// more. Where it is about to acknowledge something it is better to let it do that first
// than to send bits; and it is to get two pieces at least, because Linux waits with the
// acknowledgement of one.
func (f *flow) space() int {
	all := min(f.window, f.r.share)
	flying := f.nxt.after(f.una)
	space, piece, most := all-flying, f.mss, f.most()
	if half := max(all/2, 1); piece > half {
		piece, most = half, half
	}
	if space < piece && flying > 0 {
		return 0
	}
	return max(0, min(space, most))
}

// most is what one frame takes, in whole segments.
func (f *flow) most() int {
	room := maxPayload
	if f.key.guest.Addr().Is6() {
		room = maxPayload - headerLen
	}
	return max(room/f.mss*f.mss, min(room, f.mss))
}

// fill sends up to space bytes of what the socket has.
func (f *flow) fill(space int) int {
	b := f.r.buffer()
	head := f.r.Headroom + headerLen
	n, err := sys.ReadFD(f.fd, b[head:head+space])
	if err != nil || n == 0 {
		f.r.forget(b)
	}
	switch {
	case sys.WouldBlock(err):
		f.readable = false
		return 0
	case err != nil:
		f.reset()
		return 0
	case n == 0:
		f.finish()
		return 0
	}
	// Less than there was room for was all; what comes later is told again, but for an
	// end that was told already.
	f.readable = n == space || f.hup
	frame := b[:head+n]
	if n < large {
		frame = append(make([]byte, 0, head+n), frame...)
		f.r.forget(b)
	}
	f.r.Network.Moved(0, n)
	f.send(sent{frame, f.nxt, f.nxt + seq(n)}) //nolint:gosec // a length
	return n
}

// finish sends our FIN: the host's side has ended.
func (f *flow) finish() {
	f.hostEOF, f.first = true, !f.guestFIN
	f.send(sent{nil, f.nxt, f.nxt + 1})
	f.settle()
}

// send sends s, and keeps it.
func (f *flow) send(s sent) {
	if len(f.sent) == 0 { // it may have waited for the window
		f.wait, f.deadline = 0, 0
	}
	f.sent = append(f.sent, s)
	f.nxt = s.to
	f.resend(&s)
	f.await()
}

// resend sends s, for the first time or again.
func (f *flow) resend(s *sent) {
	if s.frame == nil {
		f.transmit(f.r.control[:f.r.Headroom+headerLen], s.from, flagFIN|flagACK, 0)
		return
	}
	f.transmit(s.frame, s.from, flagPSH|flagACK, 0)
}

// acknowledge says what has come.
func (f *flow) acknowledge() {
	n := f.blocks(f.r.control[f.r.Headroom+headerLen:])
	f.transmit(f.r.control[:f.r.Headroom+headerLen+n], f.nxt, flagACK, n)
}

// control sends a segment without data.
func (f *flow) control(flags byte) {
	f.transmit(f.r.control[:f.r.Headroom+headerLen], f.nxt, flags, 0)
}

// bare sends a segment that belongs to nothing.
func (r *Relay) bare(k key, at seq, flags byte) {
	b := r.control[:r.Headroom+headerLen]
	k.put(b[r.Headroom:], head{at: at, flags: flags})
	r.Network.Send(b, k.remote, k.guest, minMSS)
}

// probe sends a segment that the guest has to answer.
func (f *flow) probe() {
	f.transmit(f.r.control[:f.r.Headroom+headerLen], f.una-1, flagACK, 0)
}

// transmit completes and sends the segment in frame, which has options bytes of them.
func (f *flow) transmit(frame []byte, at seq, flags byte, options int) {
	f.owes = false
	f.key.put(frame[f.r.Headroom:], head{at, f.rcvNxt, flags, f.announce(), options})
	f.acked = f.rcvNxt
	f.r.Network.Send(frame, f.key.remote, f.key.guest, f.mss)
}
