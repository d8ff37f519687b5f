package inet

import (
	"encoding/binary"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A TCPSocket is one that Connect is called on until it has succeeded or failed.
// Its calls do not block, so the run-time is not told of them: that would wake its
// monitor thread, which costs as much as the call.
type TCPSocket struct {
	FD  int
	len uintptr
	sa  [unix.SizeofSockaddrInet6]byte
}

// OpenTCP opens a socket for a connection to dst, without Nagle's algorithm.
func OpenTCP(dst netip.AddrPort) (*TCPSocket, error) {
	s := &TCPSocket{len: unix.SizeofSockaddrInet6}
	domain := uintptr(unix.AF_INET6)
	if dst.Addr().Is4() {
		domain, s.len = unix.AF_INET, unix.SizeofSockaddrInet4
		a := dst.Addr().As4()
		copy(s.sa[4:], a[:])
	} else {
		a := dst.Addr().As16()
		copy(s.sa[8:], a[:])
	}
	binary.NativeEndian.PutUint16(s.sa[:], uint16(domain))
	binary.BigEndian.PutUint16(s.sa[2:], dst.Port())
	fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if errno != 0 {
		return nil, os.NewSyscallError("socket", errno)
	}
	s.FD = int(fd) //nolint:gosec // a descriptor
	noDelay(fd)
	return s, nil
}

// Connect begins to connect, or says what has become of it: nil when it is
// connected, and not done while the other end has not answered.
func (s *TCPSocket) Connect() (done bool, err error) {
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(s.FD), uintptr(unsafe.Pointer(&s.sa)), s.len)
		switch errno {
		case unix.EINTR:
		case 0, unix.EISCONN:
			return true, s.toItself()
		case unix.EINPROGRESS, unix.EALREADY:
			return false, nil
		default:
			return true, os.NewSyscallError("connect", errno)
		}
	}
}

// toItself finds a socket that is connected to itself, because the kernel chose the
// port where nobody listens for its own end: that is a refusal.
func (s *TCPSocket) toItself() error {
	var own [unix.SizeofSockaddrInet6]byte
	size := uint32(len(own))
	_, _, errno := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(s.FD), uintptr(unsafe.Pointer(&own)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return os.NewSyscallError("getsockname", errno)
	}
	ownAddr, addr := own[4:8], s.sa[4:8]
	if s.len == unix.SizeofSockaddrInet6 {
		ownAddr, addr = own[8:24], s.sa[8:24]
	}
	if [2]byte(own[2:]) == [2]byte(s.sa[2:]) && string(ownAddr) == string(addr) {
		return os.NewSyscallError("connect", unix.ECONNREFUSED)
	}
	return nil
}

// Accept takes a client from the listening socket listener, which does not block,
// without Nagle's algorithm. EAGAIN is returned as it is.
func Accept(listener int) (fd int, client netip.AddrPort, err error) {
	var sa [unix.SizeofSockaddrInet6]byte
	for {
		size := uint32(len(sa))
		r, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)),
			unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0, 0)
		switch errno {
		case 0:
		case unix.EINTR, unix.ECONNABORTED: // that client has gone
			continue
		case unix.EAGAIN:
			return -1, netip.AddrPort{}, errno
		default:
			return -1, netip.AddrPort{}, os.NewSyscallError("accept4", errno)
		}
		noDelay(r)
		addr := netip.AddrFrom4([4]byte(sa[4:]))
		if binary.NativeEndian.Uint16(sa[:]) == unix.AF_INET6 {
			addr = netip.AddrFrom16([16]byte(sa[8:])).Unmap()
		}
		return int(r), netip.AddrPortFrom(addr, binary.BigEndian.Uint16(sa[2:])), nil //nolint:gosec // a descriptor
	}
}

// noDelay ends Nagle's algorithm.
func noDelay(fd uintptr) {
	on := int32(1)
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, uintptr(unsafe.Pointer(&on)), unsafe.Sizeof(on), 0)
}

// Close closes fd, a socket that does not linger.
func Close(fd int) error {
	_, _, errno := unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("close", errno)
	}
	return nil
}

// Shut ends the socket's sending direction (shutdown(2)).
func Shut(fd int) error {
	_, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
	if errno != 0 {
		return os.NewSyscallError("shutdown", errno)
	}
	return nil
}

// ResetOnClose makes closing fd a reset (SO_LINGER, socket(7)).
func ResetOnClose(fd int) error {
	return os.NewSyscallError("setsockopt SO_LINGER", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
}
