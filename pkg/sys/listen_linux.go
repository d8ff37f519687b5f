package sys

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// backlog is how many clients may wait to be accepted.
const backlog = 64

// ListenUnix makes a stream socket at path, whose name may be of any length. A
// file of that name is replaced.
func ListenUnix(path string) (*os.File, error) { return listenUnix(path, unix.SOCK_STREAM) }

// ListenPackets is ListenUnix for a socket that keeps message boundaries
// (SOCK_SEQPACKET, unix(7)).
func ListenPackets(path string) (*os.File, error) { return listenUnix(path, unix.SOCK_SEQPACKET) }

func listenUnix(path string, kind int) (*os.File, error) {
	return unixAt(path, kind, func(fd int, addr string) error {
		if err := unix.Unlink(addr); err != nil && err != unix.ENOENT {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: addr}); err != nil {
			return err
		}
		return unix.Listen(fd, backlog)
	})
}

// DialUnix connects to the stream socket at path. Where nobody listens the error
// is ECONNREFUSED or ENOENT.
func DialUnix(path string) (*os.File, error) { return dialUnix(path, unix.SOCK_STREAM) }

// ShutdownWrite tells the other end of a connected socket that nothing more is written.
func ShutdownWrite(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = unix.Shutdown(int(fd), unix.SHUT_WR) }); err != nil { //nolint:gosec // a descriptor
		return err
	}
	return os.NewSyscallError("shutdown", serr)
}

// DialPackets is DialUnix for what ListenPackets made.
func DialPackets(path string) (*os.File, error) { return dialUnix(path, unix.SOCK_SEQPACKET) }

func dialUnix(path string, kind int) (*os.File, error) {
	return unixAt(path, kind, func(fd int, addr string) error {
		return retryEINTR(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: addr}) })
	})
}

// unixAt names the socket by way of a descriptor of its directory: an address
// has 108 bytes at most (unix(7)).
func unixAt(path string, kind int, setup func(fd int, addr string) error) (*os.File, error) {
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	defer unix.Close(dir)
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	err = setup(fd, "/proc/self/fd/"+strconv.Itoa(dir)+"/"+filepath.Base(path))
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil //nolint:gosec // a descriptor
}

// Accept takes the next connection of a listening socket. Closing the socket ends
// the wait with os.ErrClosed.
func Accept(l *os.File) (*os.File, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	var conn int
	var aerr error
	if err := readRaw(raw, func(fd uintptr) bool {
		aerr = retryEINTR(func() (err error) {
			conn, _, err = unix.Accept4(int(fd), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK) //nolint:gosec // a descriptor
			return err
		})
		return aerr != unix.EAGAIN && aerr != unix.ECONNABORTED //nolint:errorlint // a bare errno
	}); err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	if aerr != nil {
		return nil, fmt.Errorf("accept: %w", aerr)
	}
	return os.NewFile(uintptr(conn), "client"), nil //nolint:gosec // a descriptor
}
