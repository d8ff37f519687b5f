package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"sync"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

// Source is a log that is read. Only End may be called by another goroutine than
// the one that reads.
type Source interface {
	// Next returns the next record, or io.EOF if there is none now.
	Next() (Record, error)
	// Wait waits until there may be another record. It returns io.EOF if none
	// will come.
	Wait(ctx context.Context) error
	// End says that nothing writes to the log any more.
	End()
	Close() error
}

// ReadOptions say what of a log is read.
type ReadOptions struct {
	Tail         int // the last lines; negative: all
	Since, Until time.Time
	Follow       bool
}

// All is a Tail of every line.
const All = -1

// selects reports whether a line of time t is wanted.
func (o ReadOptions) selects(t time.Time) bool {
	return (o.Since.IsZero() || !t.Before(o.Since)) && (o.Until.IsZero() || !t.After(o.Until))
}

// maxHeld is how many generations a reader that falls behind keeps from being
// deleted, by having them open.
const maxHeld = 16

// Reader is a Source for the files of a Writer, of either format.
type Reader struct {
	opts  ReadOptions
	dir   dir
	watch *sys.Watch   // nil: not following, or the user has no watches left
	gens  []generation // from the one being read
	lines lines        // of gens[0]
	end   int64        // of what is read of the last one; negative: what comes too
	more  bool         // there may be generations after the last one
	final bool         // gens[0] has a successor since before it was last read
	dec   decoder

	open   [streams]bool // a line of the stream has begun
	hidden [streams]bool // the line is not wanted
	skip   int           // lines not wanted yet
	missed int

	mu      sync.Mutex
	ended   bool // End was called
	woken   bool // Wait must not wait
	over    chan struct{}
	drained bool
}

// OpenReader opens the log at path. A log that does not exist is empty, and may
// come to be when it is followed; its directory must exist.
func OpenReader(path string, o ReadOptions) (_ *Reader, err error) {
	r := &Reader{opts: o, over: make(chan struct{}), end: -1}
	if r.dir, err = openDir(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if o.Follow {
		if err := r.startWatch(); err != nil {
			return nil, err
		}
	}
	if r.gens, _, err = r.dir.open(0, math.MaxInt); err != nil || len(r.gens) == 0 {
		return r, err
	}
	ends, err := r.ends()
	if err != nil {
		return nil, err
	}
	if !o.Follow {
		r.end = ends[len(ends)-1]
	}
	r.begin(0)
	if o.Tail >= 0 {
		err = r.seekTail(ends)
	}
	return r, err
}

// startWatch comes before the first look at the files: what changes after it is
// seen.
func (r *Reader) startWatch() error {
	d, err := r.dir.root.Open(".")
	if err != nil {
		return fmt.Errorf("log directory: %w", err)
	}
	defer d.Close()
	r.watch, err = sys.WatchDir(d)
	if sys.NoMoreWatches(err) {
		return nil // look at times instead
	}
	return err
}

// ends returns the present sizes of all generations. Unless the log is followed,
// nothing behind them is read: a busy container would never let a reader go.
func (r *Reader) ends() ([]int64, error) {
	ends := make([]int64, len(r.gens))
	for i, g := range r.gens {
		fi, err := g.file.Stat()
		if err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
		ends[i] = fi.Size()
	}
	return ends, nil
}

// begin reads gens[0] from off.
func (r *Reader) begin(off int64) {
	limit := int64(-1)
	if len(r.gens) == 1 {
		limit = r.end
	}
	r.final = false
	r.lines.reset(r.gens[0].file, off, limit)
}

// Next implements Source.
func (r *Reader) Next() (Record, error) {
	for {
		line, err := r.nextLine()
		if err != nil {
			return Record{}, err
		}
		rec, ok := r.dec.decode(line)
		if !ok {
			continue
		}
		s := rec.Stream
		if !r.open[s] {
			rec.Start = true
			r.hidden[s] = !r.wanted(rec.Time)
		}
		r.open[s] = rec.Partial
		if !r.hidden[s] {
			return rec, nil
		}
	}
}

// wanted decides on a line that begins.
func (r *Reader) wanted(t time.Time) bool {
	if !r.opts.selects(t) {
		return false
	}
	if r.skip > 0 {
		r.skip--
		return false
	}
	return true
}

func (r *Reader) nextLine() ([]byte, error) {
	for {
		if len(r.gens) == 0 {
			return nil, io.EOF
		}
		line, err := r.lines.next(r.poll)
		if !errors.Is(err, io.EOF) {
			return line, err
		}
		if on, err := r.advance(); err != nil {
			return nil, err
		} else if !on && !r.shrunk() {
			return nil, io.EOF
		}
	}
}

// advance goes on to the next generation. The last records of one may have been
// written after it was read to its end and before it was renamed, so it is read
// once more after its successor was seen.
func (r *Reader) advance() (bool, error) {
	if len(r.gens) == 1 && r.more {
		if err := r.refresh(); err != nil {
			return false, err
		}
	}
	if len(r.gens) == 1 {
		return false, nil
	}
	if !r.final {
		r.final = true
		return true, nil
	}
	r.gens[0].file.Close()
	r.missed += r.gens[1].n - r.gens[0].n - 1
	r.gens = r.gens[1:]
	r.begin(0)
	return true, nil
}

// shrunk starts again where the user has emptied a log that is followed.
func (r *Reader) shrunk() bool {
	if !r.opts.Follow {
		return false
	}
	fi, err := r.gens[0].file.Stat()
	if err != nil || fi.Size() >= r.lines.off {
		return false
	}
	r.begin(0)
	return true
}

// Missed returns how many files of the log were deleted before this reader came
// to them.
func (r *Reader) Missed() int { return r.missed }

// Close ends the reader.
func (r *Reader) Close() error {
	closeAll(r.gens)
	err := r.dir.root.Close()
	if r.watch != nil {
		err = errors.Join(err, r.watch.Close())
	}
	return err
}

// refresh opens the generations that are new, as far as there is room.
func (r *Reader) refresh() error {
	after, room := 0, maxHeld
	if len(r.gens) > 0 {
		after, room = r.gens[len(r.gens)-1].n, maxHeld+1-len(r.gens)
	}
	if r.more = room <= 0; r.more {
		return nil
	}
	fresh, more, err := r.dir.open(after, room)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the container and its directory are gone
	}
	if err != nil {
		return err
	}
	first := len(r.gens) == 0
	r.gens, r.more = append(r.gens, fresh...), more
	if first && len(fresh) > 0 {
		r.begin(0)
	}
	return nil
}
