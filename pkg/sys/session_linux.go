package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Setsid makes the process the leader of a session without a terminal, so that
// no keyboard signal and no hangup reaches it.
func Setsid() error {
	if _, err := unix.Setsid(); err != nil {
		return fmt.Errorf("start a session: %w", err)
	}
	return nil
}

// Replace makes descriptor fd another name of f's open file (dup3(2)), without
// close-on-exec.
func Replace(fd int, f *os.File) error {
	if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil {
		return fmt.Errorf("replace descriptor %d: %w", fd, err)
	}
	return nil
}

// StreamPair returns two connected stream sockets, close-on-exec.
func StreamPair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	// Not blocking, so that the runtime's poller can interrupt a read by Close.
	for _, fd := range fds {
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, nil, fmt.Errorf("make socket pair: %w", err)
		}
	}
	return os.NewFile(uintptr(fds[0]), "socketpair"), os.NewFile(uintptr(fds[1]), "socketpair"), nil
}

// Adopt takes over descriptor fd, which this process was started with, and sets
// close-on-exec.
func Adopt(fd int, name string) (*os.File, error) {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil { //nolint:gosec // a descriptor
		return nil, fmt.Errorf("%s: descriptor %d: %w", name, fd, err)
	}
	return os.NewFile(uintptr(fd), name), nil //nolint:gosec // a descriptor
}
