package sys

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxIOVec is the most buffers that Readv and Writev take at once.
const MaxIOVec = 64

// The calls below do not block, so the run-time is not told of them, which would
// wake its monitor thread where all was idle: a byte's way there and back costs a
// fifth less.

// Readv reads once from fd, which does not block, into bufs in turn. Empty
// buffers are skipped. EAGAIN is returned as it is, so that callers can compare.
func Readv(fd int, bufs [][]byte) (int, error) { return vectorIO(unix.SYS_READV, fd, bufs) }

// Writev writes bufs once to fd, which does not block.
func Writev(fd int, bufs [][]byte) (int, error) { return vectorIO(unix.SYS_WRITEV, fd, bufs) }

func vectorIO(call uintptr, fd int, bufs [][]byte) (int, error) {
	var iov [MaxIOVec]unix.Iovec
	n := 0
	for _, b := range bufs {
		if len(b) == 0 {
			continue
		}
		if n == len(iov) {
			break
		}
		iov[n].Base = &b[0]
		iov[n].SetLen(len(b))
		n++
	}
	for {
		done, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&iov)), uintptr(n))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(done), nil
	}
}

// WouldBlock reports whether a call on a descriptor that does not block has to
// be repeated when the descriptor is ready.
func WouldBlock(err error) bool { return errors.Is(err, unix.EAGAIN) }

// ReadFD reads once from the socket fd, which does not block, into p, which is not empty.
func ReadFD(fd int, p []byte) (n int, err error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(n), nil //nolint:gosec // at most len(p)
	}
}

// SocketError takes the pending error of the socket fd (SO_ERROR, socket(7)).
func SocketError(fd int) error {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_ERROR", err)
	}
	if errno != 0 {
		return unix.Errno(errno) //nolint:gosec // an errno
	}
	return nil
}
