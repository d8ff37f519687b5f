package sys

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// LockShared is Lock, together with other shared holders. On an f that is
// locked already it converts the lock: not atomically, others may be first.
func LockShared(f *os.File) error { return flock(f, unix.LOCK_SH) }

// TryLockShared is LockShared without waiting; it returns ErrLocked where another
// open file has the lock alone.
func TryLockShared(f *os.File) error {
	err := flock(f, unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", f.Name(), ErrLocked)
	}
	return err
}

// Unlock drops the flock(2) of f, and of every duplicate and inherited copy of
// it in any process: they share one lock.
func Unlock(f *os.File) error { return flock(f, unix.LOCK_UN) }

// flock goes through SyscallConn, so that f can be closed while another
// goroutine waits here, without hitting whatever gets the number next.
func flock(f *os.File, how int) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	var lerr error
	err = conn.Control(func(fd uintptr) {
		lerr = retryEINTR(func() error { return unix.Flock(int(fd), how) })
	})
	if err = errors.Join(err, lerr); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}
