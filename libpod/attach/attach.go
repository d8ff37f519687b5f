// Package attach carries a container's terminal or streams between the process
// that looks after it and the clients that show it.
//
// A connection is a stream socket with frames in both directions: one byte of
// type, three zero bytes, the payload's length as a big-endian uint32, then the
// payload. The first two output types and the header are those of Docker's
// attach stream, so that a later API can pass them through unchanged.
package attach

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Type says what a frame carries.
type Type byte

// Frame types. Stdin to Detach go to the container's side, the rest come from it.
const (
	Stdin    Type = 0  // bytes for the container
	Stdout   Type = 1  // bytes from it; with a terminal all output
	Stderr   Type = 2  // bytes from it
	Resize   Type = 16 // Size as JSON
	StdinEOF Type = 17 // no more input
	Signal   Type = 18 // signal number, one byte
	Detach   Type = 19 // this client leaves, the container stays
	Sow      Type = 22 // the frame before Open to a process that makes a container: flags of the namespaces of its init, a big-endian uint64, 0 for none, and the name of its control group, empty for none
	CloseOut Type = 21 // nobody reads this output any more: one byte, Stdout or Stderr
	Open     Type = 20 // what a client that starts a container asks for, as JSON; its first frame
	Started  Type = 32 // Start as JSON
	Exited   Type = 33 // Exit as JSON; the last frame
	StdinAck Type = 34 // big-endian uint32: so many bytes of input were taken
	Checked  Type = 35 // how a health check came out, as JSON; the last frame
	Answered Type = 36 // how a change of networks came out, as JSON; the last frame
)

// Window is how many bytes of input a client may have on the way. Input that the
// container does not read then never holds up a signal or a resize behind it.
const Window = 256 << 10

// MaxPayload is the largest payload of a frame, in bytes. A longer one is a
// protocol error: the other side is not nook.
const MaxPayload = 1 << 20

const headerLen = 8

// Size is a terminal's size in characters.
type Size struct {
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
}

// Start says that the container's command runs.
type Start struct {
	ID  string `json:"id"`
	PID int    `json:"pid"`
}

// Exit says how it ended.
type Exit struct {
	ID    string `json:"id,omitempty"`    // of a container that was made and not started
	Code  int    `json:"code"`            // as the shell counts: 128+n after signal n
	Error string `json:"error,omitempty"` // nook's own failure; then Code is 125, 126 or 127
	Hint  string `json:"hint,omitempty"`
	// Busy is the host's port that was taken, where that is the failure: who has it
	// can be seen outside the user's namespace alone.
	Busy *BusyPort `json:"busy,omitempty"`
}

// BusyPort is a port of the host.
type BusyPort struct {
	Proto string `json:"proto"` // tcp or udp
	Port  uint16 `json:"port"`
}

// Conn frames one connection. Reading is for one goroutine; writing is for any.
type Conn struct {
	rwc io.ReadWriteCloser
	r   *bufio.Reader
	mu  sync.Mutex // serialises writes
	buf []byte
}

// New frames rwc.
func New(rwc io.ReadWriteCloser) *Conn {
	return &Conn{rwc: rwc, r: bufio.NewReaderSize(rwc, 64<<10)}
}

// Close closes the connection.
func (c *Conn) Close() error { return c.rwc.Close() }

// Write sends one frame, header and payload in one write.
func (c *Conn) Write(t Type, payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("attach frame of %d bytes: longer than %d", len(payload), MaxPayload)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf = append(c.buf[:0], byte(t), 0, 0, 0)
	c.buf = binary.BigEndian.AppendUint32(c.buf, uint32(len(payload))) //nolint:gosec // bounded above
	c.buf = append(c.buf, payload...)
	_, err := c.rwc.Write(c.buf)
	return err
}

// WriteJSON sends v as one frame.
func (c *Conn) WriteJSON(t Type, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Write(t, data)
}

// Read returns the next frame. The payload is valid until the next Read. The end
// of the connection between frames is io.EOF.
func (c *Conn) Read() (Type, []byte, error) {
	head, err := c.r.Peek(headerLen)
	if err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	t, n := Type(head[0]), binary.BigEndian.Uint32(head[4:])
	if head[1]|head[2]|head[3] != 0 || n > MaxPayload {
		return 0, nil, fmt.Errorf("attach: malformed frame header % x", head)
	}
	if _, err := c.r.Discard(headerLen); err != nil {
		return 0, nil, err
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(c.r, payload); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return t, payload, nil
}
