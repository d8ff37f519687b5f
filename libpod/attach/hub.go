package attach

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"
	"sync"
	"syscall"
)

// Container is the side of the streams that a Hub works for.
type Container struct {
	Stdin  io.WriteCloser // nil: input is dropped
	Stdout io.Reader      // ends when the container has closed it everywhere; nil: it is somebody else's
	Stderr io.Reader      // nil with a terminal
	TTY    bool
	Resize func(Size) error
	// CloseOut closes Stdout or Stderr, so that the container's next write to it
	// fails as a write to a pipe without reader does; nil: output is dropped.
	CloseOut func(Type) error
	Signal   func(syscall.Signal) error
	// Log gets all output, Stdout or Stderr, before any client; nil: nothing is
	// kept. Calls come one at a time.
	Log func(Type, []byte)
	// Busy is called whenever much passes at once; nil: nobody wants to know.
	Busy func()
}

// Hub copies between one container and its clients, of which there may be any
// number at any time.
type Hub struct {
	c      Container
	output sync.WaitGroup

	mu      sync.Mutex
	clients []*Session
	logging sync.Mutex
	input   sync.Mutex // of the container
	shut    bool       // guarded by input: its standard input is closed
}

// NewHub makes a hub without clients. Start it when those are there that are to
// see the beginning.
func NewHub(c Container) *Hub { return &Hub{c: c, shut: c.Stdin == nil} }

// Start starts to copy the container's output.
func (h *Hub) Start() {
	if h.c.Stdout != nil {
		h.copyOut(Stdout, h.c.Stdout)
	}
	if h.c.Stderr != nil {
		h.copyOut(Stderr, h.c.Stderr)
	}
}

// How much output is read at once, in bytes: of a container that says little, and
// after a read that was full. A pipe holds 64 KiB.
const (
	readSmall = 2 << 10
	readLarge = 64 << 10
	much      = 16 << 10
)

func (h *Hub) copyOut(t Type, r io.Reader) {
	h.output.Go(func() {
		buf := make([]byte, readSmall)
		for {
			n, err := r.Read(buf)
			if n > 0 {
				h.log(t, buf[:n])
				for _, s := range h.sessions() {
					s.show(t, buf[:n])
				}
			}
			if err != nil { // a terminal's master says EIO at the end
				return
			}
			if n == len(buf) && n < readLarge {
				buf = make([]byte, readLarge)
			}
			h.note(n)
		}
	})
}

// note tells who wants to know that n bytes are much.
func (h *Hub) note(n int) {
	if n >= much && h.c.Busy != nil {
		h.c.Busy()
	}
}

func (h *Hub) log(t Type, p []byte) {
	if h.c.Log == nil {
		return
	}
	h.logging.Lock()
	defer h.logging.Unlock()
	h.c.Log(t, p)
}

func (h *Hub) sessions() []*Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.clients)
}

// Drained waits until all output has been logged and passed to the clients. The
// container's processes must have ended.
func (h *Hub) Drained() { h.output.Wait() }

// End tells every client how the container ended, after all output, and waits
// for those that still read.
func (h *Hub) End(exit Exit) {
	for _, s := range h.sessions() {
		s.end(exit)
	}
}

// Options say what a client may do.
type Options struct {
	// Owner is the client that the container was started for: output waits for
	// it, as it would for the reader of a pipe, and without a terminal the end of
	// the client is the end of the input. Any other client that falls Lag bytes
	// behind loses its connection instead.
	Owner bool
	// NoInput drops what the client sends to the container's standard input.
	NoInput bool
	// NoOutput keeps output from the client: it waits for the end only.
	NoOutput bool
}

// Lag is how many bytes of output a client may have waiting.
const Lag = 4 << 20

// queueLen is how many input frames may wait for the container. A client that
// fills its window with frames of ordinary length never reaches it.
const queueLen = 1024

// Session is one client served.
type Session struct {
	hub   *Hub
	conn  *Conn
	o     Options
	input chan []byte
	// left is closed when the client has gone, with or without a Detach.
	left     chan struct{}
	leftOnce sync.Once

	mu    sync.Mutex
	more  sync.Cond // something was queued or written, or the client left
	queue []frame
	size  int // bytes in queue
	ended bool
	wrote sync.WaitGroup
	// detached is set before left is closed.
	detached bool
}

type frame struct {
	t Type
	p []byte
}

// Serve shows the container to a client from now on. The caller has sent the
// Started frame.
func (h *Hub) Serve(conn *Conn, o Options) *Session {
	s := &Session{hub: h, conn: conn, o: o, input: make(chan []byte, queueLen), left: make(chan struct{})}
	s.more.L = &s.mu
	h.mu.Lock()
	h.clients = append(h.clients, s)
	h.mu.Unlock()
	s.wrote.Go(s.writeFrames)
	go s.writeInput()
	go s.readFrames()
	return s
}

// Left is closed once the client has gone.
func (s *Session) Left() <-chan struct{} { return s.left }

// Detached reports, once the client has gone, whether it meant to leave.
func (s *Session) Detached() bool { return s.detached }

// show queues output. It waits for an owner that is behind.
func (s *Session) show(t Type, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.o.Owner && s.size > Window && !s.gone() {
		s.more.Wait()
	}
	if s.gone() || s.ended || s.o.NoOutput {
		return
	}
	if s.size > Lag {
		go s.leave() // it takes s.mu
		return
	}
	s.queue = append(s.queue, frame{t, slices.Clone(p)})
	s.size += len(p)
	s.more.Broadcast()
}

func (s *Session) writeFrames() {
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.ended && !s.gone() {
			s.more.Wait()
		}
		if s.gone() || len(s.queue) == 0 {
			s.mu.Unlock()
			return
		}
		f := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		err := s.conn.Write(f.t, f.p)
		s.mu.Lock()
		s.size -= len(f.p)
		s.mu.Unlock()
		s.more.Broadcast()
		if err != nil {
			s.leave()
			return
		}
	}
}

func (s *Session) end(exit Exit) {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.more.Broadcast()
	s.wrote.Wait()
	if !s.gone() {
		_ = s.conn.WriteJSON(Exited, exit) // it may leave at any time
	}
}

func (s *Session) gone() bool {
	select {
	case <-s.left:
		return true
	default:
		return false
	}
}

// leave forgets the client.
func (s *Session) leave() {
	s.leftOnce.Do(func() {
		s.mu.Lock() // who waits for more looks at left under it
		close(s.left)
		s.mu.Unlock()
		s.more.Broadcast()
		h := s.hub
		h.mu.Lock()
		h.clients = slices.DeleteFunc(h.clients, func(c *Session) bool { return c == s })
		h.mu.Unlock()
		if !s.o.Owner {
			s.conn.Close()
		}
	})
}

// readFrames does not wait for the container to read: input is queued, and the
// client's window bounds the queue.
func (s *Session) readFrames() {
	defer close(s.input)
	for {
		t, p, err := s.conn.Read()
		if err != nil {
			s.leave()
			return
		}
		switch t {
		case Stdin:
			s.input <- p
		case StdinEOF:
			s.input <- nil
		case Detach:
			s.detached = true
			s.leave()
			return
		default:
			s.control(t, p)
		}
	}
}

func (s *Session) control(t Type, p []byte) {
	c := &s.hub.c
	switch {
	case t == Resize && c.Resize != nil:
		var size Size
		if json.Unmarshal(p, &size) == nil {
			_ = c.Resize(size) // a terminal of the wrong size is no reason to end
		}
	case t == Signal && c.Signal != nil && len(p) == 1:
		_ = c.Signal(syscall.Signal(p[0])) // it may have ended meanwhile
	case t == CloseOut && s.o.Owner && c.CloseOut != nil && len(p) == 1:
		_ = c.CloseOut(Type(p[0])) // it may be closed already
	default: // of a later version, or not the owner
	}
}

// writeInput passes input on and acknowledges it.
func (s *Session) writeInput() {
	for p := range s.input {
		if p == nil {
			s.hub.closeInput(s.o)
			continue
		}
		s.hub.writeInput(s.o, p)
		if !s.gone() {
			_ = s.conn.Write(StdinAck, binary.BigEndian.AppendUint32(nil, uint32(len(p)))) //nolint:gosec // at most Window
		}
	}
	if s.o.Owner {
		s.hub.closeInput(s.o)
	}
}

func (h *Hub) writeInput(o Options, p []byte) {
	if o.NoInput {
		return
	}
	h.input.Lock()
	defer h.input.Unlock()
	if h.shut {
		return
	}
	h.note(len(p))
	if _, err := h.c.Stdin.Write(p); err != nil {
		h.shut = true // nobody reads it any more
	}
}

// closeInput ends the container's standard input. A terminal has no end.
func (h *Hub) closeInput(o Options) {
	if o.NoInput || h.c.TTY {
		return
	}
	h.input.Lock()
	defer h.input.Unlock()
	if !h.shut {
		h.shut = true
		h.c.Stdin.Close()
	}
}
