package netstack

import (
	"fmt"
	"io"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/slirp/internal/loop"
)

// maxFrames is how many frames one turn of a reader takes.
const maxFrames = 64

// reader takes frames from one queue of the TAP, in the loop.
type reader struct {
	link    *link
	fd      int
	id      loop.ID
	stopped bool

	vnet [sys.VnetHeaderLen]byte
	head []byte
	big  []byte
	bufs [][]byte
}

func newReader(l *link, fd int) *reader {
	r := &reader{link: l, fd: fd, head: make([]byte, headLen), big: make([]byte, maxFrame-headLen)}
	r.bufs = [][]byte{r.vnet[:], r.head, r.big}
	return r
}

// calm gives back the memory of the buffer, which is of no use between two frames. It
// is called in the loop.
func (r *reader) calm() { sys.DropContents(r.big) }

// Ready handles frames. What is left is told again.
func (r *reader) Ready(sys.PollEvents) {
	if r.stopped {
		return
	}
	r.link.stir()
	err := r.frames()
	r.link.recv.flush()
	r.link.recv.rest()
	if err != nil && !sys.WouldBlock(err) {
		_ = r.stop()
		r.link.broken(fmt.Errorf("tap: %w", err))
	}
}

func (r *reader) frames() error {
	for range maxFrames {
		n, err := sys.Readv(r.fd, r.bufs)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		r.link.frame(r.head, r.big, n-sys.VnetHeaderLen)
	}
	return nil
}

// stop ends reading. It is called in the loop.
func (r *reader) stop() error {
	if r.stopped {
		return nil
	}
	r.stopped = true
	return r.link.loop.Remove(r.id, r.fd)
}
