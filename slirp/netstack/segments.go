package netstack

import (
	"io"

	"github.com/nook-containers/nook/pkg/sys"
)

// peeked collects slices of an endpoint's queue.
type peeked struct {
	room [sys.MaxIOVec][]byte
	bufs [][]byte
	used int // of room
	size int
}

func (q *peeked) reset() {
	clear(q.room[:q.used])
	q.bufs, q.used, q.size = q.room[:0], 0, 0
}

// Write notes b; it is full after maxPeek bytes.
func (q *peeked) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(q.bufs) == cap(q.bufs) || q.size > maxPeek {
		return 0, io.ErrShortWrite
	}
	q.bufs = append(q.bufs, b)
	q.used++
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
