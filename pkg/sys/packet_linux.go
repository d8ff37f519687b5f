package sys

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A PacketConn is a connected socket that keeps message boundaries, watched by
// Go's poller: closing it ends what waits. One goroutine may send while another
// receives.
type PacketConn struct{ f *os.File }

// NewPacketConn takes over f, from DialPackets or Accept, which is non-blocking.
func NewPacketConn(f *os.File) *PacketConn { return &PacketConn{f} }

// File is the socket itself.
func (c *PacketConn) File() *os.File { return c.f }

// Close closes the socket.
func (c *PacketConn) Close() error { return c.f.Close() }

// Send sends data, at least one byte, with files attached, as one message, and
// waits for room. EPIPE: the other side is gone.
func (c *PacketConn) Send(data []byte, files ...*os.File) error {
	raw, err := c.f.SyscallConn()
	if err != nil {
		return err
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd()) //nolint:gosec // a descriptor
		}
		oob = unix.UnixRights(fds...)
	}
	var serr error
	err = raw.Write(func(fd uintptr) bool {
		serr = retryEINTR(func() error { return unix.Sendmsg(int(fd), data, oob, nil, unix.MSG_NOSIGNAL) }) //nolint:gosec // a descriptor
		return !errors.Is(serr, unix.EAGAIN)
	})
	if err = errors.Join(err, serr); err != nil {
		return fmt.Errorf("sendmsg: %w", err)
	}
	return nil
}

// Receive waits for a message of at most limit bytes and maxFiles files, which the
// caller closes. io.EOF: the other side is gone. os.ErrClosed: this one is.
// os.ErrDeadlineExceeded: see SetReadDeadline of File. Memory is needed for what
// came only, and not while nothing comes.
func (c *PacketConn) Receive(limit, maxFiles int) (data []byte, files []*os.File, err error) {
	raw, err := c.f.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var fds []int
	var rerr error
	err = readRaw(raw, func(fd uintptr) bool {
		data, fds, rerr = receiveExact(int(fd), limit, maxFiles) //nolint:gosec // a descriptor
		return !errors.Is(rerr, unix.EAGAIN)
	})
	if errors.Is(rerr, unix.ECONNRESET) {
		rerr = io.EOF
	}
	if err == nil {
		err = rerr
	}
	if err != nil {
		return nil, nil, err
	}
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), "received")) //nolint:gosec // a descriptor
	}
	return data, files, nil
}

// receiveExact receives one message into a slice of its size.
func receiveExact(fd, limit, maxFiles int) (data []byte, fds []int, err error) {
	var size int
	err = retryEINTR(func() (err error) {
		size, _, err = unix.Recvfrom(fd, nil, unix.MSG_PEEK|unix.MSG_TRUNC)
		return err
	})
	if err != nil {
		return nil, nil, os.NewSyscallError("recvfrom", err)
	}
	// One that is too long is refused as truncated. None has no byte: that is the end.
	data = make([]byte, max(1, min(size, limit)))
	n, fds, err := RecvFDs(fd, data, maxFiles)
	return data[:n], fds, err
}

// AcceptNow is Accept without waiting; nil: nobody is there.
func AcceptNow(l *os.File) (*os.File, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	conn, aerr := -1, error(nil)
	err = raw.Control(func(fd uintptr) {
		aerr = retryEINTR(func() (err error) {
			conn, _, err = unix.Accept4(int(fd), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK) //nolint:gosec // a descriptor
			return err
		})
	})
	if err = errors.Join(err, aerr); errors.Is(err, unix.EAGAIN) {
		return nil, nil //nolint:nilnil // nobody, and nothing wrong
	}
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	return os.NewFile(uintptr(conn), "client"), nil //nolint:gosec // a descriptor
}

// PeerPID is the process that connected a Unix socket (SO_PEERCRED, unix(7)), as
// seen from this one's pid namespace, or 0.
func PeerPID(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var cerr error
	err = raw.Control(func(fd uintptr) {
		cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) //nolint:gosec // a descriptor
	})
	if err = errors.Join(err, cerr); err != nil {
		return 0, fmt.Errorf("getsockopt SO_PEERCRED: %w", err)
	}
	return int(cred.Pid), nil
}
