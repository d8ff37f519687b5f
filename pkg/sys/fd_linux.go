package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The functions here take a bare descriptor number, for descriptors that must
// stay open until the process ends: an *os.File closes its descriptor when the
// garbage collector finds it unused.

// MoveFD makes to a duplicate of from, close-on-exec, in place of what to was,
// and closes from.
func MoveFD(from, to int) error {
	if from == to {
		return SetCloseOnExec(to, true)
	}
	if err := retryEINTR(func() error { return unix.Dup3(from, to, unix.O_CLOEXEC) }); err != nil {
		return fmt.Errorf("dup3 %d to %d: %w", from, to, err)
	}
	return CloseFD(from)
}

// CloseFD closes fd. It does not retry: close(2) frees the number even when it
// answers EINTR.
func CloseFD(fd int) error { return os.NewSyscallError("close", unix.Close(fd)) }

// SetCloseOnExec says whether fd ends at execve.
func SetCloseOnExec(fd int, on bool) error { //nolint:revive // flag-parameter: it is the flag's value
	flag := 0
	if on {
		flag = unix.FD_CLOEXEC
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flag); err != nil {
		return fmt.Errorf("fcntl F_SETFD %d: %w", fd, err)
	}
	return nil
}

// Inherited returns a duplicate, close-on-exec, of a descriptor that this process was
// started with. One that the process opened itself is none: it ends at execve, and what
// came by execve does not.
func Inherited(fd int) (*os.File, error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err == nil && flags&unix.FD_CLOEXEC != 0 {
		err = unix.EBADF
	}
	up := 0
	if err == nil {
		up, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	}
	if err != nil {
		return nil, fmt.Errorf("inherited descriptor %d: %w", fd, err)
	}
	return os.NewFile(uintptr(up), fmt.Sprintf("descriptor %d", fd)), nil //nolint:gosec // a descriptor
}

// ShareRecordLock takes a shared record lock on the whole file that fd is open
// on, without waiting; see SetRecordLock.
func ShareRecordLock(fd int) error {
	lk := unix.Flock_t{Type: unix.F_RDLCK}
	if err := retryEINTR(func() error { return unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &lk) }); err != nil {
		return fmt.Errorf("record lock on descriptor %d: %w", fd, err)
	}
	return nil
}

// IsFile reports whether fd is open on the file at path.
func IsFile(fd int, path string) bool {
	var a, b unix.Stat_t
	if unix.Fstat(fd, &a) != nil || unix.Stat(path, &b) != nil {
		return false
	}
	return a.Dev == b.Dev && a.Ino == b.Ino
}
