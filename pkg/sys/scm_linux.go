package sys

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// SocketPair returns two connected Unix sockets that keep message boundaries
// and report the end of the other side (SOCK_SEQPACKET, unix(7)).
func SocketPair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "socketpair"), os.NewFile(uintptr(fds[1]), "socketpair"), nil
}

// SendFDs sends data, at least one byte, and descriptors as one message on the
// Unix socket sock (SCM_RIGHTS). The message keeps what they are open on until it
// is received or the other side is gone; the caller may close its own.
func SendFDs(sock *os.File, data []byte, fds ...int) error {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	err := retryEINTR(func() error { return unix.Sendmsg(int(sock.Fd()), data, oob, nil, unix.MSG_NOSIGNAL) })
	return os.NewSyscallError("sendmsg", err)
}

// RecvFDs waits for a message on the Unix socket sock. It returns how much of
// buf was filled and the descriptors that came along, close-on-exec and at most
// maxFDs of them; io.EOF means that the other side is gone.
func RecvFDs(sock int, buf []byte, maxFDs int) (n int, fds []int, err error) {
	oob := make([]byte, unix.CmsgSpace(4*maxFDs))
	var oobn, flags int
	err = retryEINTR(func() (err error) {
		n, oobn, flags, _, err = unix.Recvmsg(sock, buf, oob, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	switch {
	case err != nil:
		return 0, nil, os.NewSyscallError("recvmsg", err)
	case n == 0 && oobn == 0:
		return 0, nil, io.EOF
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return n, nil, fmt.Errorf("recvmsg: %w", err)
	}
	for i := range msgs {
		got, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			return n, fds, fmt.Errorf("recvmsg: %w", err)
		}
		fds = append(fds, got...)
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		return 0, nil, errors.New("recvmsg: message truncated")
	}
	return n, fds, nil
}
