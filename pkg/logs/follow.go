package logs

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

// lookEvery is how often a reader looks at a log where the kernel gives it no
// watch.
const lookEvery = 250 * time.Millisecond

// poll takes note of rotations before each read of the log, so that a reader
// that lags opens generations before they are deleted. What it takes off the
// watch was written before that read, which therefore sees it.
func (r *Reader) poll() error {
	if r.watch == nil {
		return nil
	}
	for {
		changes, err := r.watch.Poll()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			// End: the queue can't be read any more; Wait looks once itself.
			return nil
		}
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			return nil
		}
		if _, err := r.note(changes); err != nil {
			return err
		}
	}
}

// note opens new generations and reports whether the log changed at all.
func (r *Reader) note(changes []sys.Change) (ours bool, err error) {
	rotated := false
	for _, c := range changes {
		if c.Name == "" || c.Name == r.dir.base || strings.HasPrefix(c.Name, r.dir.base+".") {
			ours = true
			rotated = rotated || c.Added || c.Name == ""
		}
	}
	if rotated {
		err = r.refresh()
	}
	return ours, err
}

// Wait implements Source.
func (r *Reader) Wait(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { r.wake(false) })()
	for {
		if !r.opts.Follow {
			return io.EOF
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if r.isOver() {
			if r.drained {
				return io.EOF
			}
			r.drained = true
			return r.refresh()
		}
		changed, err := r.sleep(ctx)
		if changed || err != nil {
			return err
		}
	}
}

// isOver reports whether nothing more is wanted or will come.
func (r *Reader) isOver() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended || !r.opts.Until.IsZero() && !time.Now().Before(r.opts.Until)
}

// sleep waits for a change, the end, or the time that Until names.
func (r *Reader) sleep(ctx context.Context) (changed bool, err error) {
	if r.watch == nil {
		return true, r.look(ctx)
	}
	r.mu.Lock()
	if !r.woken {
		err = r.watch.SetDeadline(r.opts.Until)
	}
	r.mu.Unlock()
	if err != nil {
		return false, err
	}
	changes, err := r.watch.Wait()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return r.note(changes)
}

// look stands in for a watch.
func (r *Reader) look(ctx context.Context) error {
	t := time.NewTimer(lookEvery)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.over:
	case <-ctx.Done():
	}
	return r.refresh()
}

// End implements Source.
func (r *Reader) End() { r.wake(true) }

func (r *Reader) wake(end bool) { //nolint:revive // flag-parameter: End or cancelled
	r.mu.Lock()
	defer r.mu.Unlock()
	if end && !r.ended {
		r.ended = true
		close(r.over)
	}
	r.woken = true
	if r.watch != nil {
		_ = r.watch.SetDeadline(time.Unix(1, 0)) // only a closed watch fails
	}
}
