package netstack

import (
	"errors"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/nook-containers/nook/pkg/sys"
)

const (
	// maxPeek is how many bytes one writev takes: more does not pay, and the guest's
	// acknowledgements wait for it.
	maxPeek = 1 << 20

	// bulk is from which size on what a guest sends at once is work for a processor of its
	// own. For what is less, a goroutine that has to be woken costs more than it gains.
	bulk = 32 << 10

	// maxFill is how many bytes a turn takes from the host's side: with less, the guest is
	// woken more often, and with more, other flows wait for milliseconds.
	maxFill = 1 << 20

	// maxRounds is how often a turn moves something in one direction before the other
	// one, and other flows, have theirs.
	maxRounds = 8

	// lingerFor is how long a guest has to take the last bytes of a connection whose
	// other side is gone. Linux gives an orphan about as long (tcp(7),
	// tcp_orphan_retries).
	lingerFor = 60 * time.Second
)

// What has happened to a flow since its last turn, beside sys.PollEvents.
const (
	guestReadable uint32 = 1 << (24 + iota)
	guestWritable
	guestChanged
	giveUp
)

// A pump moves bytes between an endpoint of the stack and a socket of the host,
// until both directions have ended or one is reset. It does so in turns, when
// something has happened: in the loop, or in a goroutine where the guest sends bulk data.
// There is one turn at a time, so what only turns use needs no lock.
type pump struct {
	net   *network
	ep    tcpip.Endpoint
	wq    *waiter.Queue
	sock  *hostSock
	owner *published // nil: a guest opened the connection
	done  func()     // called once, when the flow has ended
	entry waiter.Entry

	state  atomic.Uint32 // of turns
	events atomic.Uint32
	heavy  atomic.Bool // the guest has sent bulk data in the last turn
	ending atomic.Int64

	// of the turn
	readable, writable bool // the socket may have or take something
	hup                bool // the socket's other end has stopped sending, or failed
	unread, full       bool // the endpoint may have something, takes no more
	inDone, outDone    bool // end of file of the host, of the guest
	watched, over      bool
	sent               int // bytes of the guest in this turn
}

// The states of turns.
const (
	resting uint32 = iota
	queued
	running
	again // running, and something has happened meanwhile
)

// pump starts a flow. It owns ep and sock.
func (n *network) pump(p *pump) {
	p.net = n
	p.writable = true
	p.ep.SocketOptions().SetDelayOption(false)
	n.stats.tcp.enter()
	n.stir()
	n.buf.add(p.ep)
	p.entry.Init(p, waiter.ReadableEvents|waiter.WritableEvents|waiter.EventHUp|waiter.EventErr)
	p.wq.EventRegister(&p.entry)
	first := guestReadable
	if !n.tcp.add(p) {
		first = giveUp
	}
	p.kick(first)
}

// NotifyEvent is called by the stack, which holds locks of the endpoint.
func (p *pump) NotifyEvent(mask waiter.EventMask) {
	var ev uint32
	if mask&waiter.ReadableEvents != 0 {
		ev |= guestReadable
	}
	if mask&waiter.WritableEvents != 0 {
		ev |= guestWritable
	}
	if mask&(waiter.EventHUp|waiter.EventErr) != 0 {
		ev |= guestChanged
	}
	p.kick(ev)
}

// Ready is called by the loop when something has happened to the socket.
func (p *pump) Ready(events sys.PollEvents) { p.kick(uint32(events)) }

// abort resets both sides, soon.
func (p *pump) abort() { p.kick(giveUp) }

// kick notes what has happened, and sees to it that there is a turn afterwards.
func (p *pump) kick(ev uint32) {
	p.events.Or(ev)
	for {
		switch p.state.Load() {
		case resting:
			if p.state.CompareAndSwap(resting, queued) {
				p.schedule()
				return
			}
		case running:
			if p.state.CompareAndSwap(running, again) {
				return
			}
		default:
			return
		}
	}
}

func (p *pump) schedule() {
	if p.heavy.Load() {
		go p.Run()
		return
	}
	p.net.loop.Do(p)
}

// Run has a turn.
func (p *pump) Run() {
	p.state.Store(running)
	p.sent = 0
	more := p.turn(p.events.Swap(0))
	heavy := p.sent >= bulk
	if heavy {
		p.net.cfg.Busy()
		p.net.loop.Bulk()
	}
	p.heavy.Store(heavy)
	if more || !p.state.CompareAndSwap(running, resting) {
		p.state.Store(queued)
		p.schedule()
	}
}

// turn moves what there is, and reports whether there is more.
func (p *pump) turn(ev uint32) (more bool) {
	if p.over {
		return false
	}
	if !p.watched { // the first turn is the loop's, so nothing is told meanwhile
		p.watched = true
		ev |= p.sock.watch(p.net.loop, p)
	}
	if p.lost(ev) {
		p.reset()
		return false
	}
	p.note(ev)
	moreIn, ok := p.inward()
	moreOut := false
	if ok {
		moreOut, ok = p.outward()
	}
	switch {
	case !ok:
		p.reset()
		return false
	case p.outDone && !p.inDone && ev&guestChanged != 0 && ended(p.ep):
		p.reset() // our end was not announced, so it is not the normal end
		return false
	case p.outDone && p.inDone:
		p.finish()
	}
	return moreOut || moreIn
}

// lost reports whether the flow is to be reset. After an error of the host's side
// there may be data to read that came before it, unless its end was read.
func (p *pump) lost(ev uint32) bool {
	return ev&giveUp != 0 || p.inDone && ev&uint32(sys.PollErr) != 0 && p.sock.err() != nil
}

// note notes what ev says about the two sides.
func (p *pump) note(ev uint32) {
	const end = uint32(sys.PollRdHup | sys.PollHup | sys.PollErr)
	p.hup = p.hup || ev&end != 0
	p.readable = p.readable || ev&(end|uint32(sys.PollIn)) != 0
	p.writable = p.writable || ev&uint32(sys.PollOut) != 0
	p.unread = p.unread || ev&(guestReadable|guestChanged) != 0
	p.full = p.full && ev&(guestWritable|guestChanged) == 0
}

// outward moves what the guest has sent. Segments are written to the socket where
// they lie in the endpoint's queue, and leave the queue when they have been written;
// nobody else reads or closes the endpoint meanwhile.
func (p *pump) outward() (more, ok bool) {
	if p.outDone || !p.writable || !p.unread {
		return false, true
	}
	q := p.net.tcp.peeks.Get().(*peeked) //nolint:forcetypeassert // the pool has nothing else
	defer p.net.tcp.peeks.Put(q)
	defer q.reset() // the pool keeps no segments
	for range maxRounds {
		q.reset()
		_, err := p.ep.Read(q, tcpip.ReadOptions{Peek: true})
		switch err.(type) {
		case nil:
			if p.writeOut(q) != nil {
				return false, false
			}
		case *tcpip.ErrWouldBlock:
			p.unread = false
		case *tcpip.ErrClosedForReceive:
			p.outDone = true
			if !p.inDone { // else closing does it
				p.sock.shut()
			}
		default:
			return false, false
		}
		if p.outDone || !p.writable || !p.unread {
			return false, true
		}
	}
	return true, true
}

// writeOut writes q to the socket and takes it from the endpoint's queue.
func (p *pump) writeOut(q *peeked) error {
	var failed error
	total := 0
	for len(q.bufs) > 0 && failed == nil {
		var n int
		if n, failed = sys.Writev(p.sock.fd, q.bufs); failed == nil {
			total += n
			q.advance(n)
		}
	}
	if sys.WouldBlock(failed) {
		p.writable, failed = false, nil
	}
	drop := dropper(total)
	for drop > 0 {
		if _, e := p.ep.Read(&drop, tcpip.ReadOptions{}); e != nil {
			return errReset
		}
	}
	if ep, ok := p.ep.(*tcp.Endpoint); ok {
		ep.ModerateRecvBuf(total)
	}
	p.sent += total
	p.net.stats.bytesOut.Add(uint64(total)) //nolint:gosec // a length
	return failed
}

var errReset = errors.New("connection reset")

// inward moves what the host's side has sent.
func (p *pump) inward() (more, ok bool) {
	left := maxFill
	for range maxRounds {
		if p.inDone || !p.readable || p.full {
			return false, true
		}
		if left == 0 {
			return true, true
		}
		if p.hup && !p.atEnd() {
			return false, false
		}
		if p.inDone || !p.readable {
			return false, true
		}
		n, ok := p.fill(left)
		if !ok {
			return false, false
		}
		left -= n
	}
	return true, true
}

// fill moves what the socket has, at most most bytes, to the endpoint.
func (p *pump) fill(most int) (n int, ok bool) {
	there, err := sys.Unread(p.sock.fd)
	if err != nil {
		return 0, false
	}
	if there == 0 {
		p.readable = p.hup // else it was told for another reason
		return 0, true
	}
	src := socketReader{fd: p.sock.fd, left: min(there, most)}
	moved, e := p.ep.Write(&src, tcpip.WriteOptions{})
	p.net.stats.bytesIn.Add(uint64(moved)) //nolint:gosec // a length
	switch e.(type) {
	case nil:
		// What comes later is told again, but for an end that was told already.
		p.readable = p.hup || there > int(moved)
	case *tcpip.ErrWouldBlock:
		p.full = true
	default:
		return 0, false
	}
	return int(moved), true
}

// atEnd finds out whether the host's side has ended, and reports false where that is
// an error.
func (p *pump) atEnd() (ok bool) {
	more, err := sys.Peek(p.sock.fd)
	switch {
	case sys.WouldBlock(err):
		p.readable = false
	case err != nil:
		return false
	case !more:
		p.inDone = true
		return p.ep.Shutdown(tcpip.ShutdownWrite) == nil
	}
	return true
}

// reset resets both sides.
func (p *pump) reset() {
	p.sock.reset(p.net.loop)
	p.ep.Abort()
	p.end()
}

// finish closes the socket, and the endpoint as soon as the guest has taken what is
// queued for it, so that those bytes count against the limits as long as they are
// held.
func (p *pump) finish() {
	p.sock.close(p.net.loop)
	if p.ending.Load() == 0 {
		p.ending.Store(time.Now().UnixNano())
	}
	if ended(p.ep) {
		p.ep.Close()
		p.end()
	}
}

// end ends the flow.
func (p *pump) end() {
	p.over = true
	p.wq.EventUnregister(&p.entry)
	p.net.tcp.remove(p)
	p.net.buf.remove(p.ep)
	p.net.stats.tcp.leave()
	p.done()
}

// ended reports whether nothing can pass through ep any more.
func ended(ep tcpip.Endpoint) bool {
	switch tcp.EndpointState(ep.State()) {
	case tcp.StateTimeWait, tcp.StateClose, tcp.StateError:
		return true
	default:
		return false
	}
}

func (t *tcpFlows) add(p *pump) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pumps[p] = struct{}{}
	return !t.closed
}

func (t *tcpFlows) remove(p *pump) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.pumps, p)
}

// abandon resets the flows through a port.
func (t *tcpFlows) abandon(owner *published) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p := range t.pumps {
		if p.owner == owner {
			p.abort()
		}
	}
}

// expire resets the flows whose guest does not take the end, and tells how many
// there are.
func (t *tcpFlows) expire(now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p := range t.pumps {
		if at := p.ending.Load(); at != 0 && now.UnixNano()-at > int64(lingerFor) {
			p.abort()
		}
	}
	return len(t.pumps)
}
