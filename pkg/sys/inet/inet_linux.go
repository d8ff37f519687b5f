// Package inet is the part of pkg/sys that knows addresses of the internet:
// routing sockets, and what datagram sockets have beside package net. It is apart
// because net/netip would make every package that imports pkg/sys, and with it
// the stages of containers, start late (cmd/nook/stage).
package inet

import (
	"errors"

	"golang.org/x/sys/unix"
)

// retryEINTR calls again what a signal has interrupted.
func retryEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
