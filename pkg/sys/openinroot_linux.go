package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// OpenInRoot opens path as a process whose root directory is root would: every
// symbolic link and ".." stays inside (openat2(2), RESOLVE_IN_ROOT). It does not
// block on a FIFO and never becomes a controlling terminal.
func OpenInRoot(root *os.File, path string, flags int) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags) | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY, //nolint:gosec // flags are small and positive
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	if flags&os.O_CREATE != 0 {
		how.Mode = 0o600
	}
	var fd int
	err := retryEINTR(func() (err error) {
		fd, err = unix.Openat2(int(root.Fd()), path, &how)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "openat2", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil //nolint:gosec // a descriptor
}

// Mkfifo makes a named pipe (mkfifo(3)).
func Mkfifo(path string, mode uint32) error {
	if err := unix.Mkfifo(path, mode); err != nil {
		return &os.PathError{Op: "mkfifo", Path: path, Err: err}
	}
	return nil
}
