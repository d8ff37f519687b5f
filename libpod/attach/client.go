package attach

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// Client shows a container to its user.
type Client struct {
	In       io.Reader // nil: no input
	Out, Err io.Writer
	Keys     []byte           // detach sequence looked for in In; empty: none
	Signals  <-chan os.Signal // passed on; SIGWINCH becomes a Resize
	Size     func() (Size, error)
	Started  func(Start) error // called once the command runs; may be nil
}

// ErrDetached means that the user typed the detach sequence: the container goes
// on.
var ErrDetached = errors.New("detached")

// ErrLost means that the process that looks after the container died.
var ErrLost = errors.New("the container's monitor is gone")

// Run copies until the container ends and returns how. Nothing is sent, and no
// input read, before the Started frame: until then there may be no container, and
// whoever answers may hand the connection on to another process.
func (c *Client) Run(conn *Conn) (Exit, error) {
	w := &window{free: Window}
	w.cond = sync.NewCond(&w.mu)
	detached := make(chan struct{})
	var leaving atomic.Bool // detached, before anybody is told
	begun := func() {
		if c.In != nil {
			go func() {
				if c.sendInput(conn, w, &leaving) {
					close(detached)
				}
			}()
		}
		go c.sendSignals(conn)
	}
	type result struct {
		exit Exit
		err  error
	}
	done := make(chan result, 1)
	go func() {
		exit, err := c.receive(conn, w, sync.OnceFunc(begun))
		done <- result{exit, err}
	}()
	select {
	case r := <-done:
		if errors.Is(r.err, ErrLost) && leaving.Load() { // it was told, and hung up
			return Exit{}, ErrDetached
		}
		return r.exit, r.err
	case <-detached:
		return Exit{}, ErrDetached
	}
}

func (c *Client) receive(conn *Conn, w *window, begun func()) (Exit, error) {
	out, errOut := &output{t: Stdout, w: c.Out}, &output{t: Stderr, w: c.Err}
	for {
		t, p, err := conn.Read()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = ErrLost
			}
			return Exit{}, err
		}
		switch t {
		case Stdout:
			out.write(conn, p)
		case Stderr:
			errOut.write(conn, p)
		case StdinAck:
			if len(p) == 4 {
				w.give(int(binary.BigEndian.Uint32(p)))
			}
		case Started:
			var s Start
			if err = json.Unmarshal(p, &s); err == nil && c.Started != nil {
				err = c.Started(s)
			}
			begun()
		case Exited:
			var e Exit
			if err := json.Unmarshal(p, &e); err != nil {
				return Exit{}, fmt.Errorf("attach: %w", err)
			}
			return e, nil
		default: // of a later version
		}
		if err != nil {
			return Exit{}, err
		}
	}
}

// output is one of the user's streams. Once it takes no more the container is told,
// and learns of it as if it had the stream itself.
type output struct {
	t      Type
	w      io.Writer
	closed bool
}

func (o *output) write(conn *Conn, p []byte) {
	if o.closed {
		return
	}
	if _, err := o.w.Write(p); err != nil {
		o.closed = true
		_ = conn.Write(CloseOut, []byte{byte(o.t)}) // it may have ended
	}
}

// sendInput returns when there is no more, or, with true, when the user leaves.
func (c *Client) sendInput(conn *Conn, w *window, leaving *atomic.Bool) bool {
	keys := NewKeyFilter(c.Keys)
	buf := make([]byte, 32<<10)
	var out []byte
	for {
		n, err := c.In.Read(buf)
		var leave bool
		if out, leave = keys.Filter(out[:0], buf[:n]); len(out) > 0 {
			w.take(len(out))
			if conn.Write(Stdin, out) != nil {
				return false
			}
		}
		if leave {
			leaving.Store(true)
			_ = conn.Write(Detach, nil) // leaving either way
			return true
		}
		if err != nil {
			_ = conn.Write(StdinEOF, nil)
			return false
		}
	}
}

func (c *Client) sendSignals(conn *Conn) {
	for s := range c.Signals {
		sig, ok := s.(syscall.Signal)
		if !ok {
			continue
		}
		if sig != syscall.SIGWINCH {
			_ = conn.Write(Signal, []byte{byte(sig)})
		} else if size, err := c.Size(); err == nil {
			_ = conn.WriteJSON(Resize, size)
		}
	}
}

// window counts the bytes that may still be sent.
type window struct {
	mu   sync.Mutex
	cond *sync.Cond
	free int
}

func (w *window) take(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.free < n {
		w.cond.Wait()
	}
	w.free -= n
}

func (w *window) give(n int) {
	w.mu.Lock()
	w.free += n
	w.mu.Unlock()
	w.cond.Signal()
}
