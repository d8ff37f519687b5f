package archive

import (
	"context"
	"errors"
	"hash"
	"io"
	"sync/atomic"
)

// Blocks of the pipeline: big enough that handing one over costs nothing, few
// enough that a layer takes some megabytes only.
const (
	blockSize  = 512 << 10
	blockCount = 8
)

type block struct {
	data  []byte
	buf   []byte
	users atomic.Int32
}

// fanout reads a stream once, in a goroutine of its own, and gives every block to
// a hash, in another, and to one reader. So decompression, hashing and the
// reader's work overlap.
type fanout struct {
	free     chan *block
	out      chan *block
	current  *block
	rest     []byte
	sum      hash.Hash
	size     int64
	err      error // set before out is closed
	hashed   chan struct{}
	quit     context.CancelFunc
	finished bool
}

func newFanout(ctx context.Context, r io.Reader, sum hash.Hash) *fanout {
	ctx, quit := context.WithCancel(ctx)
	f := &fanout{
		free: make(chan *block, blockCount), out: make(chan *block, blockCount),
		sum: sum, hashed: make(chan struct{}), quit: quit,
	}
	for range blockCount {
		f.free <- &block{buf: make([]byte, blockSize)}
	}
	toHash := make(chan *block, blockCount)
	go f.fill(ctx, r, toHash)
	go f.hash(toHash)
	return f
}

func (f *fanout) fill(ctx context.Context, r io.Reader, toHash chan<- *block) {
	defer close(toHash)
	defer close(f.out)
	for {
		var b *block
		select {
		case b = <-f.free:
		case <-ctx.Done():
			f.err = context.Cause(ctx)
			return
		}
		n, err := readFull(r, b.buf)
		b.data = b.buf[:n]
		f.size += int64(n)
		if n > 0 {
			b.users.Store(2)
			// Neither blocks: there are no more blocks than room for them.
			toHash <- b
			f.out <- b
		}
		if err != nil {
			f.err = err
			return
		}
	}
}

// readFull fills p as far as the stream goes; unlike io.ReadFull it keeps the
// stream's own error.
func readFull(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

func (f *fanout) hash(in <-chan *block) {
	defer close(f.hashed)
	for b := range in {
		f.sum.Write(b.data)
		f.release(b)
	}
}

func (f *fanout) release(b *block) {
	if b.users.Add(-1) == 0 {
		f.free <- b
	}
}

// Read is for one goroutine.
func (f *fanout) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		if f.current != nil {
			f.release(f.current)
			f.current = nil
		}
		b, ok := <-f.out
		if !ok {
			f.finished = true
			return 0, f.err
		}
		f.current, f.rest = b, b.data
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// stop ends the goroutines; the reader below is not used any more when it
// returns. After the end of the stream, size and sum are those of all of it.
func (f *fanout) stop() {
	f.quit()
	if f.current != nil {
		f.release(f.current)
		f.current = nil
	}
	for b := range f.out {
		f.release(b)
	}
	<-f.hashed
}

// complete reports whether the whole stream was read without an error.
func (f *fanout) complete() bool { return f.finished && errors.Is(f.err, io.EOF) }
