package sys

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// AwaitUnread waits until nobody can read any more what is written to f: the other end
// of a pipe or a socket is closed, a terminal is gone (poll(2), POLLERR and POLLHUP).
// A file never comes to that. The error is that of ctx if it ends first; then nothing
// keeps f open any more.
func AwaitUnread(ctx context.Context, f *os.File) error {
	stop, stopped, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stop.Close()
	defer stopped.Close()
	defer context.AfterFunc(ctx, func() { stopped.Close() })()
	var fds [2]unix.PollFd
	for i, file := range []*os.File{f, stop} {
		c, err := file.SyscallConn()
		if err == nil {
			err = c.Control(func(fd uintptr) { fds[i].Fd = int32(fd) }) //nolint:gosec // a descriptor
		}
		if err != nil {
			return err
		}
	}
	err = retryEINTR(func() error {
		_, err := unix.Poll(fds[:], -1)
		return err
	})
	if err != nil {
		return fmt.Errorf("poll %s: %w", f.Name(), err)
	}
	if fds[0].Revents == 0 {
		return context.Cause(ctx)
	}
	return nil
}
