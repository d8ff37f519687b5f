// Package kern holds the kernel calls of a container's init.
//
// Theory of operation: between clone and execve, init works on one thread and
// names every object below the container's root by a descriptor. The wrappers
// here are therefore thin, take and return plain descriptors, never touch the
// Go poller and change the calling thread only (credentials, capabilities,
// namespaces), which is what an execve from that thread inherits. Their errors
// are bare errnos: the caller knows the step and the object and adds both.
//
// The package is apart from pkg/sys because it is linked into the early stage,
// whose imports are counted.
package kern

import (
	"errors"

	"golang.org/x/sys/unix"
)

// AtCwd makes a path relative to the working directory, as AT_FDCWD.
const AtCwd = unix.AT_FDCWD

// Retry repeats call while a signal interrupts it.
func Retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func retryFD(call func() (int, error)) (int, error) {
	for {
		if fd, err := call(); !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// Close closes fd. Linux releases the number whatever close(2) answers.
func Close(fd int) {
	if fd >= 0 {
		_ = unix.Close(fd)
	}
}
