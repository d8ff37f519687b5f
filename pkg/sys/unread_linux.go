package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// AwaitUnread waits until nobody can read any more what is written to f: the other end
// of a pipe or a socket is closed, a terminal is gone (poll(2), POLLERR and POLLHUP).
// A file never comes to that.
func AwaitUnread(f *os.File) error {
	fds := []unix.PollFd{{Fd: int32(f.Fd())}} //nolint:gosec // a descriptor
	err := retryEINTR(func() error {
		_, err := unix.Poll(fds, -1)
		return err
	})
	if err != nil {
		return fmt.Errorf("poll %s: %w", f.Name(), err)
	}
	return nil
}
