package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

// flushAt is how many bytes of records one write(2) has, about.
const flushAt = 256 << 10

// file is the Writer of k8s-file and json-file.
type file struct {
	dir      dir
	path     string // for messages
	maxSize  int64  // 0: none
	maxFiles int

	mu    sync.Mutex
	enc   encoder
	f     *os.File // the current generation; nil: it could not be made, try again
	size  int64    // of whole records in it
	torn  bool     // half a record is behind them
	full  bool     // it is to be rotated before it is written to
	old   []int    // rotated generations, oldest first
	buf   []byte   // records to be written
	carry [streams][]byte
	lost  int64 // records
	cause error // why the latest of them
}

// openFile opens a log for appending. Another writer of the same file would break
// its rotation, so it is locked.
func openFile(c Config, enc encoder) (_ *file, err error) {
	w := &file{path: c.Path, enc: enc, maxSize: c.MaxSize, maxFiles: c.MaxFiles}
	if w.maxSize == 0 {
		w.maxSize = DefaultMaxSize
	}
	w.maxSize = max(w.maxSize, 0)
	if w.maxFiles <= 0 {
		w.maxFiles = DefaultMaxFiles
	}
	if w.dir, err = openDir(c.Path); err != nil {
		return nil, err
	}
	if err := w.open(os.O_CREATE | os.O_RDWR | os.O_APPEND); err != nil {
		return nil, errors.Join(err, w.dir.root.Close())
	}
	if w.old, err = w.dir.numbers(); err == nil {
		err = w.endTorn()
	}
	if err != nil {
		return nil, errors.Join(err, w.f.Close(), w.dir.root.Close())
	}
	return w, nil
}

// open opens and locks the current generation.
func (w *file) open(flags int) error {
	f, err := w.dir.root.OpenFile(w.dir.base, flags, 0o600)
	if err != nil {
		return fmt.Errorf("open log %s: %w", w.path, cause(err))
	}
	fi, err := f.Stat()
	switch {
	case err != nil:
	case !fi.Mode().IsRegular():
		err = errors.New("not a regular file")
	default:
		err = sys.TryLock(f)
		if errors.Is(err, sys.ErrLocked) {
			err = errors.New("another container writes to it")
		}
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("open log %s: %w", w.path, err)
	}
	w.f, w.size, w.torn = f, fi.Size(), false
	return nil
}

// cause leaves out the call and the path of a file error.
func cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// endTorn ends the line of half a record, which a writer that was killed left.
// Nothing is cut off: the file may be one that the user named by mistake.
func (w *file) endTorn() error {
	if w.size == 0 {
		return nil
	}
	b := []byte{0}
	if _, err := w.f.ReadAt(b, w.size-1); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if b[0] == '\n' {
		return nil
	}
	if _, err := w.f.Write([]byte{'\n'}); err != nil {
		return fmt.Errorf("end the last line of the log: %w", err)
	}
	w.size++
	return nil
}

// Write implements Writer.
func (w *file) Write(s Stream, p []byte, now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.lost
	w.enc.at(now)
	if held := w.carry[s]; len(held) > 0 {
		p = append(held, p...)
		w.carry[s] = nil
	}
	for len(p) > 0 {
		one, rest := cut(p)
		if !one.whole {
			n := len(one.text) - w.enc.keep(one.text)
			if n == 0 {
				w.carry[s] = bytes.Clone(p)
				break
			}
			one.text, rest = one.text[:n], p[n:]
		}
		w.add(s, one)
		p = rest
	}
	w.flush()
	if w.lost != before {
		return w.cause
	}
	return nil
}

// add appends a record to those that wait, and rotates if it would not fit.
func (w *file) add(s Stream, p piece) {
	start := len(w.buf)
	w.buf = w.enc.record(w.buf, s, p)
	if w.maxSize > 0 && w.size+int64(len(w.buf)) > w.maxSize && w.size+int64(start) > 0 {
		next := bytes.Clone(w.buf[start:])
		w.buf = w.buf[:start]
		w.flush()
		w.full = true
		_ = w.ready() // else flush tries again, and counts what is lost
		w.buf = append(w.buf, next...)
	}
	if len(w.buf) >= flushAt {
		w.flush()
	}
}

// drop counts the records in b as lost.
func (w *file) drop(b []byte, err error) {
	if n := bytes.Count(b, []byte{'\n'}); n > 0 {
		w.lost += int64(n)
		w.cause = cause(err)
	}
}

// flush writes the waiting records.
func (w *file) flush() {
	b := w.buf
	w.buf = w.buf[:0]
	if len(b) == 0 {
		return
	}
	if err := w.ready(); err != nil {
		w.drop(b, err)
		return
	}
	n, err := w.f.Write(b)
	if err == nil {
		w.size += int64(n)
		return
	}
	whole := bytes.LastIndexByte(b[:n], '\n') + 1
	w.size += int64(whole)
	w.torn = whole < n
	w.drop(b[whole:], err)
	_ = w.ready() // at once: what is behind the records helps nobody
}

// ready makes sure that there is a current file with room, which ends with a whole
// record.
func (w *file) ready() error {
	if w.full {
		if err := w.shift(); err != nil {
			return err
		}
		w.f.Close()
		w.f, w.full = nil, false
	}
	if w.f == nil {
		if err := w.open(os.O_CREATE | os.O_EXCL | os.O_RDWR | os.O_APPEND); err != nil {
			return err
		}
	}
	if w.torn {
		if err := w.f.Truncate(w.size); err != nil {
			return err
		}
		w.torn = false
	}
	return nil
}

// shift gives the current generation its number, and deletes those that are one
// too many by it.
func (w *file) shift() error {
	number := last(w.old) + 1
	for len(w.old) > 0 && w.old[0] <= number-w.maxFiles+1 {
		if err := w.dir.root.Remove(w.dir.name(w.old[0])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		w.old = w.old[1:]
	}
	if err := w.dir.root.Rename(w.dir.base, w.dir.name(number)); err != nil {
		return err
	}
	w.old = append(w.old, number)
	if w.maxFiles == 1 {
		w.hollow(number)
	}
	return nil
}

// hollow puts an empty file in place of a generation, so that its number stays.
// Who has it open still reads it to its end.
func (w *file) hollow(number int) {
	name := w.dir.name(number)
	f, err := w.dir.root.OpenFile(name+".new", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		f.Close()
		err = w.dir.root.Rename(name+".new", name)
	}
	if err != nil {
		_ = w.f.Truncate(0) // bounds first
	}
}

// Close implements Writer.
func (w *file) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s, held := range w.carry {
		if len(held) > 0 {
			w.add(Stream(s), piece{text: held}) //nolint:gosec // two streams
		}
	}
	w.flush()
	err := w.dir.root.Close()
	if w.f != nil {
		err = errors.Join(w.f.Close(), err)
	}
	if w.lost > 0 {
		return &LostError{Log: w.path, Records: w.lost, Err: w.cause}
	}
	return err
}
