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
	r := &reader{l: l, q: q, show: show}
	defer r.close()
	for {
		if err := r.read(); err != nil || !q.Follow {
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

// reader reads the two files as they grow and take each other's place. The older one
// stays open: a writer that was held up may write to it still.
type reader struct {
	l        Log
	q        Query
	show     func(Event) error
	old, now *tail // nil: not there
}

// tail is a file that is read as it grows.
type tail struct {
	f    *os.File
	rest []byte // a line without its end
}

func (t *tail) close() {
	if t != nil {
		t.f.Close()
	}
}

// is reports whether t and u are the same file, which may be none.
func (t *tail) is(u *tail) bool {
	if t == nil || u == nil {
		return t == u
	}
	mine, err := t.f.Stat()
	other, oerr := u.f.Stat()
	return err == nil && oerr == nil && os.SameFile(mine, other)
}

func (r *reader) close() {
	r.old.close()
	r.now.close()
}

// read shows what is new in both files, until no other has taken their place.
func (r *reader) read() error {
	for {
		old, now, err := r.l.pair()
		if err != nil {
			return err
		}
		same := now.is(r.now) && old.is(r.old)
		err = r.moveTo(old, now)
		if err == nil {
			err = errors.Join(r.lines(r.old), r.lines(r.now))
		}
		if err != nil || same {
			return err
		}
	}
}

// moveTo takes over the files that there are now. Of one that is read already the
// place in it is kept, and one that is gone is read to its end.
func (r *reader) moveTo(old, now *tail) error {
	for _, had := range []*tail{r.old, r.now} {
		switch {
		case had == nil:
		case had.is(old):
			old.close()
			old = had
		case had.is(now):
			now.close()
			now = had
		default:
			err := r.lines(had)
			had.close()
			if err != nil {
				r.old, r.now = old, now
				return err
			}
		}
	}
	r.old, r.now = old, now
	return nil
}

// pair opens the older and the newer file of one moment.
func (l Log) pair() (old, now *tail, err error) {
	for {
		if now, err = openTail(filepath.Join(l.Dir, logFile)); err != nil {
			return nil, nil, err
		}
		if old, err = openTail(filepath.Join(l.Dir, oldFile)); err != nil {
			now.close()
			return nil, nil, err
		}
		// If the newer one still is, nothing became the older one meanwhile.
		again, err := openTail(filepath.Join(l.Dir, logFile))
		settled := err == nil && now.is(again)
		again.close()
		if settled {
			return old, now, nil
		}
		old.close()
		now.close()
		if err != nil {
			return nil, nil, err
		}
	}
}

func openTail(path string) (*tail, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // none
	}
	if err != nil {
		return nil, err
	}
	return &tail{f: f}, nil
}

// lines shows what t has that was not read yet.
func (r *reader) lines(t *tail) error {
	if t == nil {
		return nil
	}
	in := bufio.NewReader(t.f)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			t.rest = append(t.rest, line...)
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		line = append(t.rest, line...)
		t.rest = nil
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
