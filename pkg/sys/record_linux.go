package sys

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked means another process holds a conflicting record lock.
var ErrLocked = errors.New("locked by another process")

// SetRecordLock takes a record lock on the whole of f without waiting:
// exclusive, or shared with other shared holders. It returns ErrLocked where
// another process holds a conflicting one.
//
// A record lock (fcntl(2), "Advisory record locking") belongs to the process:
// it survives execve as long as f stays open, is not inherited by a child, ends
// with the process, and RecordHolder tells who has it. It also ends as soon as
// the process closes any descriptor of the same file, so the owner must open the
// file once and keep it.
func SetRecordLock(f *os.File, exclusive bool) error {
	return recordLock(f, unix.F_SETLK, exclusive)
}

// WaitRecordLock is SetRecordLock, waiting for other holders to go.
func WaitRecordLock(f *os.File, exclusive bool) error {
	return recordLock(f, unix.F_SETLKW, exclusive)
}

func recordLock(f *os.File, cmd int, exclusive bool) error { //nolint:revive // a kind of lock, as fcntl(2) has it
	lk := unix.Flock_t{Type: unix.F_RDLCK}
	if exclusive {
		lk.Type = unix.F_WRLCK
	}
	err := retryEINTR(func() error { return unix.FcntlFlock(f.Fd(), cmd, &lk) })
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		err = ErrLocked
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// RecordHolder returns the pid of a process, other than this one, that holds a
// record lock on f, or 0 when none does. It takes no lock itself. The pid is -1
// where the holder lives in a pid namespace that this process cannot see.
func RecordHolder(f *os.File) (pid int, err error) { return recordHolder(f, unix.F_WRLCK) }

// RecordOwner is RecordHolder for exclusive locks alone.
func RecordOwner(f *os.File) (pid int, err error) { return recordHolder(f, unix.F_RDLCK) }

// recordHolder asks who keeps a lock of type kind from being granted.
func recordHolder(f *os.File, kind int16) (pid int, err error) {
	lk := unix.Flock_t{Type: kind}
	if err := retryEINTR(func() error { return unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lk) }); err != nil {
		return 0, fmt.Errorf("query lock %s: %w", f.Name(), err)
	}
	switch {
	case lk.Type == unix.F_UNLCK:
		return 0, nil
	case lk.Pid == 0:
		return -1, nil
	}
	return int(lk.Pid), nil
}
