package kern

import (
	"errors"

	"golang.org/x/sys/unix"
)

// SocketPair returns two connected sockets that keep message boundaries.
func SocketPair() (a, b int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	return fds[0], fds[1], err
}

// Send writes one message with the descriptors fds attached.
func Send(sock int, msg []byte, fds ...int) error {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	return Retry(func() error { return unix.Sendmsg(sock, msg, oob, nil, unix.MSG_NOSIGNAL) })
}

// MaxRights is how many descriptors one message takes (SCM_MAX_FD, unix(7)).
const MaxRights = 253

// Recv reads one message of at most len(buf) bytes, and its descriptors.
// The other end being closed gives 0 bytes and no error; a message that does
// not fit gives EMSGSIZE.
func Recv(sock int, buf []byte) (n int, fds []int, err error) {
	oob := make([]byte, unix.CmsgSpace(4*MaxRights))
	var oobn, flags int
	err = Retry(func() error {
		var e error
		n, oobn, flags, _, e = unix.Recvmsg(sock, buf, oob, unix.MSG_CMSG_CLOEXEC)
		return e
	})
	if errors.Is(err, unix.ECONNRESET) {
		return 0, nil, nil // closed with our last message unread
	}
	if err != nil {
		return 0, nil, err
	}
	fds = rights(oob[:oobn])
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		for _, fd := range fds {
			Close(fd)
		}
		return 0, nil, unix.EMSGSIZE
	}
	return n, fds, nil
}

func rights(oob []byte) []int {
	if len(oob) == 0 {
		return nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var all []int
	for i := range msgs {
		if fds, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			all = append(all, fds...)
		}
	}
	return all
}

// Accept takes a connection of the listening socket.
func Accept(sock int) (int, error) {
	return retryFD(func() (int, error) {
		fd, _, err := unix.Accept4(sock, unix.SOCK_CLOEXEC)
		return fd, err
	})
}

// Memfd returns a file in memory that holds data.
func Memfd(name string, data []byte) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, err
	}
	for rest := data; len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			Close(fd)
			return -1, err
		}
		rest = rest[n:]
	}
	return fd, nil
}

// Seal forbids every further change of a file made by memfd_create(2).
func Seal(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS,
		unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	return err
}

// Listen makes a socket at path that keeps message boundaries and queues one
// connection.
func Listen(path string) (int, error) { return listen(path, unix.SOCK_SEQPACKET) }

// ListenStream makes a stream socket at path that queues one connection.
func ListenStream(path string) (int, error) { return listen(path, unix.SOCK_STREAM) }

// Dial connects to a socket made by Listen.
func Dial(path string) (int, error) { return dial(path, unix.SOCK_SEQPACKET) }

// DialStream connects to a socket made by ListenStream.
func DialStream(path string) (int, error) { return dial(path, unix.SOCK_STREAM) }

func listen(path string, kind int) (int, error) {
	return unixSocket(kind, func(fd int) error {
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			return err
		}
		return unix.Listen(fd, 1)
	})
}

func dial(path string, kind int) (int, error) {
	return unixSocket(kind, func(fd int) error {
		return Retry(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) })
	})
}

func unixSocket(kind int, setup func(fd int) error) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := setup(fd); err != nil {
		Close(fd)
		return -1, err
	}
	return fd, nil
}
