package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// PidfdWait waits until the process that p was opened for has ended. It need not
// be a child.
func PidfdWait(p *os.File) error {
	fds := []unix.PollFd{{Fd: int32(p.Fd()), Events: unix.POLLIN}} //nolint:gosec // a descriptor
	err := retryEINTR(func() error {
		_, err := unix.Poll(fds, -1)
		return err
	})
	if err != nil {
		return fmt.Errorf("wait for %s: %w", p.Name(), err)
	}
	return nil
}
