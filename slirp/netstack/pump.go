package netstack

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/nook-containers/nook/pkg/sys"
)

// maxPeek is how many bytes one writev takes: more does not pay, and the guest's
// acknowledgements wait for it.
const maxPeek = 1 << 20

// A bulk transfer is one that moves as many bytes at once. It keeps more than one
// processor busy, as do as many connections; for what is less, goroutines that wake
// each other are faster on one: a third more round trips.
const (
	bulk  = 32 << 10
	crowd = 32
)

// lingerFor is how long a guest has to take the last bytes of a connection whose
// other side is gone. Linux gives an orphan about as long (tcp(7),
// tcp_orphan_retries).
const lingerFor = 60 * time.Second

// hostConn is the host's end of a flow: a *forward.Conn, or a client.
type hostConn interface {
	SyscallConn() (syscall.RawConn, error)
	SetReadDeadline(t time.Time) error
	CloseWrite() error
	Close() error
	Reset() error
}

// A pump moves bytes between an endpoint of the stack and a socket of the host,
// until both directions have ended or one is reset.
type pump struct {
	net  *network
	ep   tcpip.Endpoint
	wq   *waiter.Queue
	conn hostConn
	raw  syscall.RawConn

	aborted sync.Once
	in, out chan struct{} // closed at the end of file of the host, of the guest, or an abort
	endIn   func()        // closes in
	endOut  func()        // closes out
}

// pump runs a flow until it ends, or ctx does. It owns ep and conn.
func (n *network) pump(ctx context.Context, ep tcpip.Endpoint, wq *waiter.Queue, conn hostConn) {
	p := &pump{net: n, ep: ep, wq: wq, conn: conn, in: make(chan struct{}), out: make(chan struct{})}
	p.endIn = sync.OnceFunc(func() { close(p.in) })
	p.endOut = sync.OnceFunc(func() { close(p.out) })
	raw, err := conn.SyscallConn()
	if err != nil || !n.tcp.add(p) {
		p.abort()
		return
	}
	defer n.tcp.remove(p)
	p.raw = raw
	ep.SocketOptions().SetDelayOption(false)
	n.stats.tcp.enter()
	defer n.stats.tcp.leave()
	n.buf.add(ep)
	defer n.buf.remove(ep)
	stop := context.AfterFunc(ctx, p.abort)
	defer stop()
	var outward sync.WaitGroup
	outward.Go(p.outward)
	p.inward()
	outward.Wait()
	p.finish()
}

// finish waits until the guest has taken what is queued for it, so that those
// bytes count against the limits as long as they are held.
func (p *pump) finish() {
	entry, changed := waiter.NewChannelEntry(waiter.EventHUp | waiter.EventErr)
	p.wq.EventRegister(&entry)
	defer p.wq.EventUnregister(&entry)
	timer := time.NewTimer(lingerFor)
	defer timer.Stop()
	for !ended(p.ep) {
		select {
		case <-changed:
		case <-timer.C:
			p.abort()
		}
	}
	p.aborted.Do(func() {
		_ = p.conn.Close()
		p.ep.Close()
	})
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
	if t.closed {
		return false
	}
	t.pumps[p] = struct{}{}
	if len(t.pumps) > crowd {
		p.net.cfg.Busy()
	}
	return true
}

func (t *tcpFlows) remove(p *pump) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.pumps, p)
}

// abort resets both sides.
func (p *pump) abort() {
	p.aborted.Do(func() {
		_ = p.conn.Reset()
		p.ep.Abort()
	})
}

// outward moves what the guest sends. Segments are written to the socket where
// they lie in the endpoint's queue, and leave the queue when they have been
// written; nobody else reads or closes the endpoint meanwhile, except abort, after
// which the slices are stale but the socket is closed.
func (p *pump) outward() {
	defer p.endOut()
	entry, readable := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	p.wq.EventRegister(&entry)
	defer p.wq.EventUnregister(&entry)
	var q peeked
	for {
		q.reset()
		_, err := p.ep.Read(&q, tcpip.ReadOptions{Peek: true})
		switch err.(type) {
		case nil:
			if p.writeOut(&q) != nil {
				p.abort()
				return
			}
		case *tcpip.ErrWouldBlock:
			<-readable
		case *tcpip.ErrClosedForReceive:
			_ = p.conn.CloseWrite()
			p.endOut()
			p.awaitReset(readable)
			return
		default:
			p.abort()
			return
		}
	}
}

// awaitReset waits, after the guest's end of file, for the host's, and for a reset
// by the guest meanwhile. If the host's has been, it ends awaitHostReset.
func (p *pump) awaitReset(changed <-chan struct{}) {
	for {
		select {
		case <-p.in:
			_ = p.conn.SetReadDeadline(time.Unix(1, 0))
			return
		case <-changed:
			select {
			case <-p.in: // our end was announced, so CLOSED is the normal end
			default:
				if ended(p.ep) {
					p.abort()
					return
				}
			}
		}
	}
}

// writeOut writes q to the socket and takes it from the endpoint's queue.
func (p *pump) writeOut(q *peeked) error {
	var werr error
	if q.size >= bulk {
		p.net.cfg.Busy()
	}
	total := 0
	err := p.raw.Write(func(fd uintptr) bool {
		for len(q.bufs) > 0 {
			n, err := sys.Writev(int(fd), q.bufs)
			if sys.WouldBlock(err) {
				return false
			}
			if err != nil {
				werr = err
				return true
			}
			total += n
			q.advance(n)
		}
		return true
	})
	drop := dropper(total)
	for drop > 0 {
		if _, e := p.ep.Read(&drop, tcpip.ReadOptions{}); e != nil {
			return errReset
		}
	}
	if ep, ok := p.ep.(*tcp.Endpoint); ok {
		ep.ModerateRecvBuf(total)
	}
	p.net.stats.bytesOut.Add(uint64(total)) //nolint:gosec // a length
	return errors.Join(err, werr)
}

var errReset = errors.New("connection reset")

// peeked collects slices of an endpoint's queue.
type peeked struct {
	room [sys.MaxIOVec][]byte
	bufs [][]byte
	size int
}

func (q *peeked) reset() { q.bufs, q.size = q.room[:0], 0 }

// Write notes b; it is full after maxPeek bytes.
func (q *peeked) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(q.bufs) == cap(q.bufs) || q.size > maxPeek {
		return 0, io.ErrShortWrite
	}
	q.bufs = append(q.bufs, b)
	q.size += len(b)
	return len(b), nil
}

// advance forgets the first n bytes.
func (q *peeked) advance(n int) {
	for n > 0 {
		if n < len(q.bufs[0]) {
			q.bufs[0] = q.bufs[0][n:]
			return
		}
		n -= len(q.bufs[0])
		q.bufs = q.bufs[1:]
	}
}

// dropper takes as many bytes as its value.
type dropper int

func (d *dropper) Write(b []byte) (int, error) {
	if len(b) <= int(*d) {
		*d -= dropper(len(b))
		return len(b), nil
	}
	n := int(*d)
	*d = 0
	return n, io.ErrShortWrite
}

// inward moves what the host's side sends.
func (p *pump) inward() {
	defer p.endIn()
	entry, writable := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventHUp | waiter.EventErr)
	p.wq.EventRegister(&entry)
	defer p.wq.EventUnregister(&entry)
	for {
		state := p.readIn()
		switch state {
		case inFull:
			<-writable
		case inEOF:
			p.endIn() // before the guest can answer, see awaitReset
			if p.ep.Shutdown(tcpip.ShutdownWrite) != nil {
				p.abort()
				return
			}
			p.awaitHostReset()
			return
		default:
			p.abort()
			return
		}
	}
}

// inState says why readIn ended.
type inState uint8

const (
	inReset inState = iota
	inEOF           // the host's side has ended
	inFull          // the endpoint takes no more
)

// readIn reads from the socket into the endpoint until something ends.
func (p *pump) readIn() (state inState) {
	err := p.raw.Read(func(fd uintptr) (done bool) {
		state, done = p.copyIn(int(fd))
		return done
	})
	if err != nil {
		return inReset
	}
	return state
}

// copyIn moves what the socket has. done is false where it has nothing yet.
func (p *pump) copyIn(fd int) (state inState, done bool) {
	for {
		n, err := sys.Unread(fd)
		if err != nil {
			return inReset, true
		}
		if n == 0 {
			more, err := sys.Peek(fd)
			switch {
			case sys.WouldBlock(err):
				return inReset, false
			case err != nil:
				return inReset, true
			case !more:
				return inEOF, true
			}
			continue
		}
		if n >= bulk {
			p.net.cfg.Busy()
		}
		src := socketReader{fd: fd, left: n}
		moved, e := p.ep.Write(&src, tcpip.WriteOptions{})
		p.net.stats.bytesIn.Add(uint64(moved)) //nolint:gosec // a length
		switch e.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			return inFull, true
		default:
			return inReset, true
		}
	}
}

// awaitHostReset waits, after the host's end of file, for the guest's, and for a
// reset by the host meanwhile. The end of file hides that from reading.
func (p *pump) awaitHostReset() {
	select {
	case <-p.out:
		return
	default:
	}
	reset := false
	err := p.raw.Read(func(fd uintptr) bool {
		reset = sys.SocketError(int(fd)) != nil
		return reset
	})
	if reset || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		p.abort()
	}
}

// socketReader gives an endpoint exactly the bytes that a socket has ready: the
// stack allocates for as many as Len says, and loses all on an error in between.
type socketReader struct{ fd, left int }

// Len is how many bytes Read will return.
func (r *socketReader) Len() int { return r.left }

func (r *socketReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := sys.ReadFD(r.fd, b[:min(len(b), r.left)])
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	r.left -= n
	return n, nil
}
