package inet

import (
	"errors"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// WantErrors makes the socket fd, connected and of ip's family, report every
// ICMP error about what it sent, also those that the kernel takes for transient
// (IP_RECVERR, ip(7)); read them with TakeError.
func WantErrors(fd int, ip netip.Addr) error {
	if ip.Is4() {
		return os.NewSyscallError("setsockopt IP_RECVERR", unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVERR, 1))
	}
	return os.NewSyscallError("setsockopt IPV6_RECVERR", unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVERR, 1))
}

// DropErrors empties the error queue of fd, which counts as received data. It
// reports how many there were.
func DropErrors(fd int) (n int) {
	var b [1]byte
	var oob [512]byte
	for {
		_, _, _, _, err := unix.Recvmsg(fd, b[:], oob[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n
		}
		n++
	}
}

// Send sends p as one datagram on the connected socket fd without waiting.
func Send(fd int, p []byte) error {
	return retryEINTR(func() error {
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		return errnoOf(errno)
	})
}

// SendSegments sends p without waiting as datagrams of size bytes, the last perhaps
// shorter, which the kernel cuts as late as it can (UDP_SEGMENT, udp(7)). Where
// NoSegments reports that it cannot, nothing is sent.
func SendSegments(fd int, p []byte, size int) error {
	var control struct {
		unix.Cmsghdr
		size uint16
		_    [6]byte
	}
	control.Level, control.Type, control.size = unix.SOL_UDP, unix.UDP_SEGMENT, uint16(size) //nolint:gosec // a datagram's
	control.SetLen(unix.CmsgLen(2))
	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	msg := unix.Msghdr{Iov: &iov, Control: (*byte)(unsafe.Pointer(&control))}
	msg.SetIovlen(1)
	msg.SetControllen(unix.CmsgSpace(2))
	return retryEINTR(func() error {
		_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return errnoOf(errno)
	})
}

// NoSegments reports whether SendSegments failed because the kernel, the device or
// the route cannot do it.
func NoSegments(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EIO) || errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.EOPNOTSUPP)
}

// errnoOf is errno as an error, nil for 0.
func errnoOf(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// RecvFD receives one datagram from fd, into p that is not empty, without waiting.
func RecvFD(fd int, p []byte) (n int, err error) {
	err = retryEINTR(func() error {
		r, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
		n = int(r) //nolint:gosec // at most len(p)
		return errnoOf(errno)
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// PacketInfoLen is enough room for the control messages of a socket that has
// WantPacketInfo.
const PacketInfoLen = 128

// WantPacketInfo makes the UDP socket fd tell to which of the host's addresses a
// datagram came (IP_PKTINFO, ip(7); IPV6_RECVPKTINFO, ipv6(7)).
func WantPacketInfo(fd int, v6 bool) error { //nolint:revive // the socket's family
	if v6 {
		return os.NewSyscallError("setsockopt IPV6_RECVPKTINFO", unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1))
	}
	return os.NewSyscallError("setsockopt IP_PKTINFO", unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_PKTINFO, 1))
}

// PacketDestination returns the address that a datagram came to, from its
// control messages; the zero Addr where they do not say.
func PacketDestination(oob []byte) netip.Addr {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(m.Data[8:12]))
		case m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(m.Data[:16])).Unmap()
		}
	}
	return netip.Addr{}
}

// PacketSource returns control messages that send a datagram from one of the
// host's addresses.
func PacketSource(from netip.Addr) []byte {
	switch {
	case from.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from.As4()})
	case from.Is6():
		return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: from.As16()})
	}
	return nil
}

// OpenPing opens a socket for ICMP echo requests to addr, connected to it
// (icmp(7), "ping_group_range"). The kernel sets the echo identifier. EACCES: no
// group of this process is in the range.
func OpenPing(addr netip.Addr) (*os.File, error) {
	domain, proto := unix.AF_INET6, unix.IPPROTO_ICMPV6
	var sa unix.Sockaddr = &unix.SockaddrInet6{Addr: addr.As16()}
	if addr.Is4() {
		domain, proto, sa = unix.AF_INET, unix.IPPROTO_ICMP, &unix.SockaddrInet4{Addr: addr.As4()}
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return nil, os.NewSyscallError("socket IPPROTO_ICMP", err)
	}
	if err := retryEINTR(func() error { return unix.Connect(fd, sa) }); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	return os.NewFile(uintptr(fd), "ping "+addr.String()), nil //nolint:gosec // a descriptor
}

// SendParts sends one datagram of two parts on the connected socket fd without
// waiting.
func SendParts(fd int, parts [2][]byte) error {
	if len(parts[1]) == 0 {
		return Send(fd, parts[0])
	}
	return retryEINTR(func() error {
		_, err := unix.SendmsgBuffers(fd, parts[:], nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return err
	})
}
