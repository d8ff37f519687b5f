// Package journal reads what the journald driver of package logs wrote, by way of
// journalctl(1): the format of the journal's files is its own matter.
//
// What there is comes from one journalctl that ends. A reader that follows then
// runs "journalctl --follow" behind the last entry, and when the container has
// ended, one more that ends, for what came in between.
//
// journald takes entries in when it gets round to it. The last of a run is therefore
// followed by a mark, and a reader of a container that has just ended follows the
// journal until it sees that.
package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/nook-containers/nook/pkg/logs"
)

// Reader is a logs.Source.
type Reader struct {
	ctx    context.Context //nolint:containedctx // the life of journalctl, which outlasts each call
	id     string
	opts   logs.ReadOptions
	prog   string
	now    *process // ends by itself; nil: all was read
	live   *process // follows; nil: not begun
	ready  []entry  // read ahead
	cursor string   // of the latest entry
	open   [2]bool  // a line of the stream goes on
	hidden [2]bool  // it is not wanted
	last   bool     // what came before the end was asked for
	seen   string   // run whose mark was the latest

	expect  End // to be read once end is closed
	end     chan struct{}
	endOnce sync.Once
}

// End says how the last entry of a container that has ended is known. The zero value
// stands for one that may go on, or of which it is not.
type End struct {
	Run string    // logs.Config.Run of the last one
	By  time.Time // when to give up; it may have been lost, or deleted
}

// Open reads the entries of the container with this full id. Processes that it
// starts end with ctx. last is for a reader that does not follow.
func Open(ctx context.Context, id string, last End, o logs.ReadOptions) (*Reader, error) {
	return openWith(ctx, "journalctl", id, last, o)
}

func openWith(ctx context.Context, prog, id string, last End, o logs.ReadOptions) (*Reader, error) {
	r := &Reader{ctx: ctx, prog: prog, id: id, opts: o, end: make(chan struct{})}
	if !o.Follow {
		r.EndWith(last)
	}
	var err error
	if r.now, err = start(ctx, prog, r.args()); err != nil {
		return nil, err
	}
	if o.Tail >= 0 {
		err = r.readTail()
	}
	return r, err
}

// args is the command line for the entries behind the latest one.
func (r *Reader) args(more ...string) []string {
	a := append([]string{"--quiet", "--all", "--output=json", "--no-pager"}, more...)
	switch {
	case r.cursor != "":
		a = append(a, "--after-cursor="+r.cursor)
	case !r.opts.Since.IsZero():
		a = append(a, "--since=@"+strconv.FormatInt(r.opts.Since.Unix(), 10))
	}
	return append(a, logs.FieldIDFull+"="+r.id, "+", logs.FieldEnd+"="+r.id)
}

// readTail reads all there is and keeps the last lines.
func (r *Reader) readTail() error {
	var kept []entry
	begun := 0
	for {
		e, err := r.fetch()
		if errors.Is(err, io.EOF) && !r.opts.Follow {
			if err = r.Wait(r.ctx); err == nil {
				continue
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		kept = append(kept, e)
		if e.rec.Start {
			begun++
		}
		for begun > r.opts.Tail {
			// The oldest line, with what goes on with it before the next begins.
			if kept[0].rec.Start {
				begun--
			}
			kept = kept[1:]
		}
	}
	for len(kept) > 0 && !kept[0].rec.Start {
		kept = kept[1:]
	}
	r.ready = kept
	return nil
}

// Next implements logs.Source.
func (r *Reader) Next() (logs.Record, error) {
	if len(r.ready) > 0 {
		e := r.ready[0]
		r.ready = r.ready[1:]
		return e.rec, nil
	}
	e, err := r.fetch()
	return e.rec, err
}

// fetch returns the next entry that is wanted, without waiting for what is yet to
// be written.
func (r *Reader) fetch() (entry, error) {
	for {
		e, err := r.raw()
		if err != nil {
			return e, err
		}
		r.cursor = e.cursor
		if e.end != "" {
			r.seen = e.end
			continue
		}
		s := e.rec.Stream
		if !r.open[s] {
			e.rec.Start = true
			r.hidden[s] = e.rec.Time.Before(r.opts.Since) || !r.opts.Until.IsZero() && e.rec.Time.After(r.opts.Until)
		}
		r.open[s] = e.rec.Partial
		if !r.hidden[s] {
			return e, nil
		}
	}
}

func (r *Reader) raw() (entry, error) {
	if r.now != nil {
		e, ok := <-r.now.entries
		if ok {
			return e, nil
		}
		err := r.now.failed
		r.now = nil
		if err != nil {
			return entry{}, err
		}
	}
	if r.live != nil {
		select {
		case e, ok := <-r.live.entries:
			if ok {
				return e, nil
			}
			return entry{}, r.liveEnd()
		default:
		}
	}
	return entry{}, io.EOF
}

// liveEnd says why a journalctl that follows does not any more.
func (r *Reader) liveEnd() error {
	err := r.live.failed
	if err == nil {
		err = errors.New("journalctl: ended while it followed the journal")
	}
	return err
}

// Wait implements logs.Source.
func (r *Reader) Wait(ctx context.Context) (err error) {
	end, late := r.end, (<-chan time.Time)(nil)
	select {
	case <-end:
		if r.last || r.complete() {
			return io.EOF
		}
		if !time.Now().Before(r.expect.By) {
			return r.finish()
		}
		end, late = nil, time.After(time.Until(r.expect.By))
	default:
	}
	if r.live == nil {
		if r.live, err = start(r.ctx, r.prog, r.args("--follow", "--no-tail")); err != nil {
			return err
		}
	}
	select {
	case e, ok := <-r.live.entries:
		if !ok {
			return r.liveEnd()
		}
		return r.hold(e)
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-end:
		return nil // to be looked at again
	case <-late:
	case <-r.over():
	}
	return r.finish()
}

// over is when a reader that follows is to end.
func (r *Reader) over() <-chan time.Time {
	if r.opts.Until.IsZero() || !r.opts.Follow {
		return nil
	}
	return time.After(time.Until(r.opts.Until))
}

// complete reports whether nothing comes behind what was read.
func (r *Reader) complete() bool {
	if r.expect.Run == "" {
		return r.live == nil && !r.opts.Follow
	}
	return r.seen == r.expect.Run
}

// hold keeps an entry for Next, if it is wanted.
func (r *Reader) hold(e entry) error {
	first := make(chan entry, 1)
	first <- e
	close(first)
	r.now = &process{entries: first, stop: func() {}}
	return nil
}

// finish begins to read what is behind the latest entry, once nothing more will
// come.
func (r *Reader) finish() (err error) {
	if r.live != nil {
		r.live.stop()
	}
	r.live, r.last = nil, true
	r.now, err = start(r.ctx, r.prog, r.args())
	return err
}

// End implements logs.Source.
func (r *Reader) End() { r.EndWith(End{}) }

// EndWith is End where the last entry can be known. It may be called by another
// goroutine, as End.
func (r *Reader) EndWith(last End) {
	r.endOnce.Do(func() {
		r.expect = last
		close(r.end)
	})
}

// Close ends journalctl.
func (r *Reader) Close() error {
	for _, p := range []*process{r.now, r.live} {
		if p != nil {
			p.stop()
		}
	}
	return nil
}

// errEntry names an entry that is not what the driver writes.
func errEntry(what string) error { return fmt.Errorf("journal entry: unexpected %s", what) }
