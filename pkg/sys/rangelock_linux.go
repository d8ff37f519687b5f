package sys

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// LockRange takes an exclusive lock on bytes first to first+count-1 of f, which
// need not exist, without waiting. It returns ErrLocked where somebody else has
// one of them. The lock ends when f is closed (fcntl(2), "Open file description
// locks").
func LockRange(f *os.File, first, count int64) error {
	lk := unix.Flock_t{Type: unix.F_WRLCK, Start: first, Len: count}
	err := retryEINTR(func() error { return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lk) })
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		err = ErrLocked
	}
	if err != nil {
		return fmt.Errorf("lock %d bytes of %s: %w", count, f.Name(), err)
	}
	return nil
}
