package sys

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Watch reports what happens to the files of directories (inotify(7)). It follows
// a directory, whatever that is renamed to.
type Watch struct {
	f   *os.File
	buf []byte
}

// Change is one event of a Watch.
type Change struct {
	Name  string // of the file; empty: the directory was renamed, or anything may have happened, since the kernel's queue overflowed
	Added bool   // the file was created or renamed to Name, else written to
}

// NewWatch watches nothing yet. EMFILE means that the user has too many watches
// (fs.inotify.max_user_instances).
func NewWatch() (*Watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	// Non-blocking: the Go poller waits, so that deadlines and Close work.
	return &Watch{f: os.NewFile(uintptr(fd), "inotify"), buf: make([]byte, 4096)}, nil //nolint:gosec // a descriptor
}

// Add watches also the directory that dir is open on. To add it again is no error.
func (w *Watch) Add(dir *os.File) error {
	path := fmt.Sprintf("/proc/self/fd/%d", dir.Fd())
	const mask = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	conn, err := w.f.SyscallConn()
	if err != nil {
		return err
	}
	var aerr error
	if err := conn.Control(func(fd uintptr) { _, aerr = unix.InotifyAddWatch(int(fd), path, mask) }); err != nil {
		return err
	}
	if aerr != nil {
		return fmt.Errorf("inotify_add_watch %s: %w", dir.Name(), aerr)
	}
	return nil
}

// WatchDir watches the directory that dir is open on; see NewWatch.
func WatchDir(dir *os.File) (*Watch, error) {
	w, err := NewWatch()
	if err != nil {
		return nil, err
	}
	if err := w.Add(dir); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Wait waits for changes and returns them in order. Past the deadline it returns
// os.ErrDeadlineExceeded.
func (w *Watch) Wait() ([]Change, error) { return w.read(true) }

// Poll is Wait without waiting: no change is no error.
func (w *Watch) Poll() ([]Change, error) { return w.read(false) }

// SetDeadline ends a Wait at t, also one that is going on; the zero time never
// does.
func (w *Watch) SetDeadline(t time.Time) error { return w.f.SetReadDeadline(t) }

// Close ends the watch, and a Wait with os.ErrClosed.
func (w *Watch) Close() error { return w.f.Close() }

func (w *Watch) read(wait bool) ([]Change, error) {
	conn, err := w.f.SyscallConn()
	if err != nil {
		return nil, err
	}
	n := 0
	var rerr error
	err = readRaw(conn, func(fd uintptr) bool {
		rerr = retryEINTR(func() (err error) {
			n, err = unix.Read(int(fd), w.buf)
			return err
		})
		return !wait || !errors.Is(rerr, unix.EAGAIN)
	})
	switch {
	case err != nil:
		return nil, err
	case errors.Is(rerr, unix.EAGAIN):
		return nil, nil
	case rerr != nil:
		return nil, fmt.Errorf("read inotify: %w", rerr)
	}
	return changes(w.buf[:n]), nil
}

// changes decodes a buffer of struct inotify_event, each followed by its name
// padded with zero bytes.
func changes(b []byte) []Change {
	var all []Change
	for len(b) >= unix.SizeofInotifyEvent {
		e := (*unix.InotifyEvent)(unsafe.Pointer(&b[0])) //nolint:gosec // the kernel wrote it, aligned
		end := min(unix.SizeofInotifyEvent+int(e.Len), len(b))
		name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:end]), "\x00")
		if name != "" || e.Mask&(unix.IN_Q_OVERFLOW|unix.IN_MOVE_SELF) != 0 {
			all = append(all, Change{Name: name, Added: e.Mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0})
		}
		b = b[end:]
	}
	return all
}

// NoMoreWatches reports whether WatchDir failed because the user has all the
// watches that the kernel grants.
func NoMoreWatches(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENOSPC)
}
