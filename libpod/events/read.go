package events

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

// Query says which events to read.
type Query struct {
	Since time.Time // zero: from the oldest on
	Until time.Time // zero: to the newest
	// Follow waits for more, until Until or for ever.
	Follow bool
	Keep   func(Event) bool // nil: all
}

// Read calls show for every event that q asks for, in order. It ends with show's
// error, or without one when ctx ends.
func (l Log) Read(ctx context.Context, q Query, show func(Event) error) error {
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return err
	}
	dir, err := os.Open(l.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	var watch *sys.Watch
	if q.Follow { // before the first look, so that nothing falls between
		if watch, err = sys.WatchDir(dir); err != nil {
			return err
		}
		defer watch.Close()
		stop := context.AfterFunc(ctx, func() { watch.Close() })
		defer stop()
		if !q.Until.IsZero() {
			if err := watch.SetDeadline(q.Until); err != nil {
				return err
			}
		}
	}
	r := &reader{q: q, show: show}
	defer r.close()
	if err := r.old(filepath.Join(l.Dir, oldFile)); err != nil {
		return err
	}
	for {
		if err := r.current(filepath.Join(l.Dir, logFile)); err != nil || !q.Follow {
			return err
		}
		_, err := watch.Wait()
		if errors.Is(err, os.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// reader reads the newer file as it grows.
type reader struct {
	q    Query
	show func(Event) error
	f    *os.File
	rest []byte // a line without its end
}

func (r *reader) close() {
	if r.f != nil {
		r.f.Close()
	}
}

func (r *reader) old(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return r.lines(f)
}

// current reads what is new in the file at path, and before that in the file
// that was there before.
func (r *reader) current(path string) error {
	if r.f != nil {
		if err := r.lines(r.f); err != nil {
			return err
		}
		now, err := os.Stat(path)
		mine, merr := r.f.Stat()
		if err == nil && merr == nil && os.SameFile(now, mine) {
			return nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // renamed, and the next one not there yet
		}
		if err := r.lines(r.f); err != nil { // what came before it was renamed
			return err
		}
		r.f.Close()
		r.f, r.rest = nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r.f = f
	return r.lines(f)
}

func (r *reader) lines(f io.Reader) error {
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			r.rest = append(r.rest, line...)
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		line = append(r.rest, line...)
		r.rest = nil
		var e Event
		if json.Unmarshal(line, &e) != nil || !r.wanted(e) {
			continue
		}
		if err := r.show(e); err != nil {
			return err
		}
	}
}

func (r *reader) wanted(e Event) bool {
	return !e.Time.Before(r.q.Since) && (r.q.Until.IsZero() || !e.Time.After(r.q.Until)) && (r.q.Keep == nil || r.q.Keep(e))
}
