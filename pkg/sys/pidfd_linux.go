package sys

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// PidfdOpen returns a descriptor of the process pid (pidfd_open(2)); ESRCH if
// there is none.
func PidfdOpen(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	return os.NewFile(uintptr(fd), "pidfd "+strconv.Itoa(pid)), nil //nolint:gosec // a descriptor
}

// PidfdSignal signals the process that p was opened for, and no later one of the
// same pid (pidfd_send_signal(2)).
func PidfdSignal(p *os.File, sig syscall.Signal) error {
	if err := unix.PidfdSendSignal(int(p.Fd()), sig, nil, 0); err != nil {
		return fmt.Errorf("%s: %w", p.Name(), err)
	}
	return nil
}
