package sys

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

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

// signalGroup is PIDFD_SIGNAL_PROCESS_GROUP of linux/pidfd.h.
const signalGroup = 1 << 2

// PidfdSignalGroup signals the process group that the process p was opened for
// leads; before Linux 6.9 that process alone.
func PidfdSignalGroup(p *os.File, sig syscall.Signal) error {
	err := unix.PidfdSendSignal(int(p.Fd()), sig, nil, signalGroup)
	if errors.Is(err, unix.EINVAL) {
		return PidfdSignal(p, sig)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name(), err)
	}
	return nil
}

// Ended reports whether the process that p was opened for has ended, or does so
// within wait (pidfd_open(2): then it is readable).
func Ended(p *os.File, wait time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(p.Fd()), Events: unix.POLLIN}} //nolint:gosec // a descriptor
	n := 0
	err := retryEINTR(func() (err error) {
		n, err = unix.Poll(fds, int(wait.Milliseconds()))
		return err
	})
	return err == nil && n > 0
}

// ReadUntil reads from f, a pipe or the master of a terminal, which others than the
// process of pidfd p may keep open. It returns io.EOF when all have closed it, or
// when the process has ended and nothing is left to read: what a background
// process that inherited f writes later is nobody's.
func ReadUntil(f, p *os.File, buf []byte) (int, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	n := 0
	// Control, in place of Read, as the descriptor may be a blocking one; meanwhile
	// f can't be closed and its number reused.
	if cerr := conn.Control(func(fd uintptr) { n, err = readUntil(int(fd), int(p.Fd()), buf) }); cerr != nil {
		return 0, cerr
	}
	if errors.Is(err, unix.EIO) || err == nil && n == 0 { // EIO: a terminal that nobody has open
		return 0, io.EOF
	}
	return max(n, 0), err
}

func readUntil(fd, process int, buf []byte) (n int, err error) {
	ready := func(fds []unix.PollFd, timeout int) (bool, error) {
		err := retryEINTR(func() error {
			_, err := unix.Poll(fds, timeout)
			return err
		})
		return fds[0].Revents != 0, err
	}
	both := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(process), Events: unix.POLLIN}} //nolint:gosec // descriptors
	ok, err := ready(both, -1)
	if err == nil && !ok { // it ended, perhaps just after it wrote
		ok, err = ready(both[:1], 0)
	}
	if err != nil || !ok {
		return 0, err
	}
	err = retryEINTR(func() (err error) {
		n, err = unix.Read(fd, buf)
		return err
	})
	return n, err
}
