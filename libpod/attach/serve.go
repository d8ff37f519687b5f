package attach

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
)

// Container is the side of the streams that Serve works for.
type Container struct {
	Stdin  io.WriteCloser // nil: input is dropped
	Stdout io.Reader      // ends when the container has closed it everywhere
	Stderr io.Reader      // nil with a terminal
	TTY    bool
	Resize func(Size) error
	// CloseOut closes Stdout or Stderr, so that the container's next write to it
	// fails as a write to a pipe without reader does; nil: output is dropped.
	CloseOut func(Type) error
	Signal   func(syscall.Signal) error
}

// queueLen is how many input frames may wait for the container. A client that
// fills its window with frames of ordinary length never reaches it.
const queueLen = 1024

// Session is one client served.
type Session struct {
	conn   *Conn
	c      Container
	output sync.WaitGroup
	input  chan []byte
	// left is closed when the client has gone, with or without a Detach.
	left     chan struct{}
	leftOnce sync.Once
}

// Serve starts to copy between conn and c. The caller sends the Started frame
// before and, after Drained, the Exited frame.
//
// Output waits for the client, as a pipe would; a client that is gone loses it.
func Serve(conn *Conn, c Container) *Session {
	s := &Session{conn: conn, c: c, input: make(chan []byte, queueLen), left: make(chan struct{})}
	s.copyOut(Stdout, c.Stdout)
	if c.Stderr != nil {
		s.copyOut(Stderr, c.Stderr)
	}
	go s.writeInput()
	go s.readFrames()
	return s
}

// Drained waits until all output has been passed on. The container's processes
// must have ended.
func (s *Session) Drained() { s.output.Wait() }

// Left is closed once the client has gone.
func (s *Session) Left() <-chan struct{} { return s.left }

func (s *Session) copyOut(t Type, r io.Reader) {
	s.output.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Read(buf)
			if n > 0 && !s.gone() && s.conn.Write(t, buf[:n]) != nil {
				s.leave()
			}
			if err != nil { // a terminal's master says EIO at the end
				return
			}
		}
	})
}

func (s *Session) gone() bool {
	select {
	case <-s.left:
		return true
	default:
		return false
	}
}

func (s *Session) leave() { s.leftOnce.Do(func() { close(s.left) }) }

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
			s.leave()
			return
		default:
			s.control(t, p)
		}
	}
}

func (s *Session) control(t Type, p []byte) {
	switch {
	case t == Resize && s.c.Resize != nil:
		var size Size
		if json.Unmarshal(p, &size) == nil {
			_ = s.c.Resize(size) // a terminal of the wrong size is no reason to end
		}
	case t == Signal && s.c.Signal != nil && len(p) == 1:
		_ = s.c.Signal(syscall.Signal(p[0])) // it may have ended meanwhile
	case t == CloseOut && s.c.CloseOut != nil && len(p) == 1:
		_ = s.c.CloseOut(Type(p[0])) // it may be closed already
	default: // of a later version
	}
}

// writeInput passes input on and acknowledges it. Without a terminal the end of
// the client is the end of the input, as with Docker's -i.
func (s *Session) writeInput() {
	open := s.c.Stdin != nil
	for p := range s.input {
		if p == nil {
			if open && !s.c.TTY {
				open = false
				s.c.Stdin.Close()
			}
			continue
		}
		if open {
			if _, err := s.c.Stdin.Write(p); err != nil {
				open = errors.Is(err, os.ErrDeadlineExceeded)
			}
		}
		if !s.gone() {
			_ = s.conn.Write(StdinAck, binary.BigEndian.AppendUint32(nil, uint32(len(p)))) //nolint:gosec // at most Window
		}
	}
	if open && !s.c.TTY {
		s.c.Stdin.Close()
	}
}
