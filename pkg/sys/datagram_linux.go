package sys

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// DialDatagram connects a datagram socket to the Unix socket at path (unix(7)).
// Sending on it waits at most patience for a receiver that does not keep up, then
// fails with EAGAIN.
func DialDatagram(path string, patience time.Duration) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	tv := unix.NsecToTimeval(patience.Nanoseconds())
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv)
	if err == nil {
		err = retryEINTR(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) })
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("connect %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil //nolint:gosec // a descriptor
}

// SendDatagram sends data, and the descriptors fds beside it (SCM_RIGHTS), as one
// message. With wait unset it fails at once with EAGAIN where it would wait.
// EMSGSIZE or ENOBUFS mean that data is too long for one message.
func SendDatagram(sock *os.File, wait bool, data []byte, fds ...int) error { //nolint:revive // MSG_DONTWAIT
	flags := unix.MSG_NOSIGNAL
	if !wait {
		flags |= unix.MSG_DONTWAIT
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	err := retryEINTR(func() error { return unix.Sendmsg(int(sock.Fd()), data, oob, nil, flags) })
	return os.NewSyscallError("sendmsg", err)
}

// TooLong reports whether a message did not fit.
func TooLong(err error) bool {
	return errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS)
}

// Disconnected reports whether the receiver of a connected socket is gone.
func Disconnected(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.ENOTCONN)
}
