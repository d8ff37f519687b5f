package inet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/nook-containers/nook/pkg/sys"
)

// A Netlink is a routing socket (rtnetlink(7)) in the network namespace of the
// thread that opened it, for as long as it is open and from whatever thread it is
// used. It is safe for concurrent use; each request waits for its answer.
type Netlink struct {
	mu  sync.Mutex
	fd  int
	seq uint32
	buf []byte
}

// OpenNetlink opens a routing socket.
func OpenNetlink() (*Netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket AF_NETLINK", err)
	}
	// An answer without what the request carried: error messages stay short.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("bind AF_NETLINK", err)
	}
	return &Netlink{fd: fd}, nil
}

// Close closes the socket.
func (n *Netlink) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd < 0 {
		return nil
	}
	err := sys.CloseFD(n.fd)
	n.fd = -1
	return err
}

// RouteType says what the kernel does with packets to an address (rtnetlink(7)).
type RouteType uint8

// Route types that matter here; there are others.
const (
	RouteUnicast     RouteType = unix.RTN_UNICAST
	RouteLocal       RouteType = unix.RTN_LOCAL
	RouteBroadcast   RouteType = unix.RTN_BROADCAST
	RouteMulticast   RouteType = unix.RTN_MULTICAST
	RouteUnreachable RouteType = unix.RTN_UNREACHABLE
)

// RouteTo asks how the kernel would send to addr. Without a route the error is
// ENETUNREACH, or EHOSTUNREACH, EACCES and EINVAL for routes of those types.
func (n *Netlink) RouteTo(addr netip.Addr) (RouteType, error) {
	m := newMessage(unix.RTM_GETROUTE, 0, rtMsg(addr, addr.BitLen()))
	m.attr(unix.RTA_DST, addr.AsSlice())
	var kind RouteType
	err := n.askOne(m, func(b []byte) {
		if len(b) >= unix.SizeofRtMsg {
			kind = RouteType(b[7])
		}
	})
	if err != nil {
		return 0, fmt.Errorf("route to %s: %w", addr, err)
	}
	return kind, nil
}

// AddBridge makes a bridge.
func (n *Netlink) AddBridge(name string) error {
	m := newLink(name)
	info := m.nest(unix.IFLA_LINKINFO)
	m.attr(unix.IFLA_INFO_KIND, []byte("bridge"))
	m.end(info)
	return wrap("add bridge "+name, n.do(m))
}

// AddVeth makes a pair of connected interfaces, the second in namespace peerNS
// where that is not nil.
func (n *Netlink) AddVeth(name, peer string, peerNS *os.File) error {
	m := newLink(name)
	info := m.nest(unix.IFLA_LINKINFO)
	m.attr(unix.IFLA_INFO_KIND, []byte("veth"))
	data := m.nest(unix.IFLA_INFO_DATA)
	p := m.nest(1) // VETH_INFO_PEER (linux/veth.h)
	m.b = append(m.b, make([]byte, unix.SizeofIfInfomsg)...)
	m.attr(unix.IFLA_IFNAME, append([]byte(peer), 0))
	if peerNS != nil {
		m.attr(unix.IFLA_NET_NS_FD, u32(uint32(peerNS.Fd()))) //nolint:gosec // a descriptor
	}
	m.end(p)
	m.end(data)
	m.end(info)
	return wrap("add veth "+name, n.do(m))
}

// A LinkSetting changes an interface; see SetLink.
type LinkSetting struct {
	Up     bool
	MTU    int    // bytes; 0 leaves it
	Master string // a bridge; "" leaves it
}

// SetLink applies s to the interface name.
func (n *Netlink) SetLink(name string, s LinkSetting) error {
	body := make([]byte, unix.SizeofIfInfomsg)
	if s.Up {
		binary.NativeEndian.PutUint32(body[8:], unix.IFF_UP)
		binary.NativeEndian.PutUint32(body[12:], unix.IFF_UP)
	}
	m := newMessage(unix.RTM_NEWLINK, 0, body)
	m.attr(unix.IFLA_IFNAME, append([]byte(name), 0))
	if s.MTU != 0 {
		m.attr(unix.IFLA_MTU, u32(uint32(s.MTU))) //nolint:gosec // at most 65535
	}
	if s.Master != "" {
		index, err := n.LinkIndex(s.Master)
		if err != nil {
			return err
		}
		m.attr(unix.IFLA_MASTER, u32(index))
	}
	return wrap("set link "+name, n.do(m))
}

// LinkIndex returns the index of the interface name (netdevice(7)). A routing message
// that asks for it would have the kernel finish what is under way with the interface.
func (n *Netlink) LinkIndex(name string) (index uint32, err error) {
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		n.mu.Lock()
		err = unix.IoctlIfreq(n.fd, unix.SIOCGIFINDEX, ifr)
		n.mu.Unlock()
	}
	if err != nil {
		return 0, wrap("find link "+name, err)
	}
	return ifr.Uint32(), nil
}

// AddAddr gives the interface link an address with its prefix length, at once:
// IPv6 addresses skip duplicate address detection.
func (n *Netlink) AddAddr(link string, p netip.Prefix) error {
	index, err := n.LinkIndex(link)
	if err != nil {
		return err
	}
	body := make([]byte, unix.SizeofIfAddrmsg)
	body[0], body[1] = family(p.Addr()), byte(p.Bits())
	body[2] = unix.IFA_F_NODAD
	binary.NativeEndian.PutUint32(body[4:], index)
	m := newMessage(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body)
	m.attr(unix.IFA_LOCAL, p.Addr().AsSlice())
	m.attr(unix.IFA_ADDRESS, p.Addr().AsSlice())
	return wrap(fmt.Sprintf("add address %s to %s", p, link), n.do(m))
}

// AddRoute routes dst through the neighbour via. Where kind is not RouteUnicast,
// via is not used: the kernel answers in its stead.
func (n *Netlink) AddRoute(dst netip.Prefix, via netip.Addr, kind RouteType) error {
	return n.addRoute(dst, via, kind, 0)
}

// AddRouteMetric is AddRoute for a unicast route with a metric: of several to the
// same destination the one with the lowest is used.
func (n *Netlink) AddRouteMetric(dst netip.Prefix, via netip.Addr, metric uint32) error {
	return n.addRoute(dst, via, RouteUnicast, metric)
}

func (n *Netlink) addRoute(dst netip.Prefix, via netip.Addr, kind RouteType, metric uint32) error {
	body := rtMsg(dst.Addr(), dst.Bits())
	body[4], body[5], body[7] = unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, byte(kind)
	m := newMessage(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body)
	if dst.Bits() > 0 {
		m.attr(unix.RTA_DST, dst.Addr().AsSlice())
	}
	if kind == RouteUnicast {
		m.attr(unix.RTA_GATEWAY, via.AsSlice())
	}
	if metric != 0 {
		m.attr(unix.RTA_PRIORITY, u32(metric))
	}
	return wrap(fmt.Sprintf("add route %s via %s", dst, via), n.do(m))
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// rtMsg is a struct rtmsg for a destination.
func rtMsg(a netip.Addr, bits int) []byte {
	b := make([]byte, unix.SizeofRtMsg)
	b[0], b[1] = family(a), byte(bits)
	return b
}

// message is a request under construction.
type message struct{ b []byte }

func newMessage(kind, flags uint16, body []byte) *message {
	b := make([]byte, unix.SizeofNlMsghdr, 256)
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	return &message{b: append(b, body...)}
}

func newLink(name string) *message {
	m := newMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, make([]byte, unix.SizeofIfInfomsg))
	m.attr(unix.IFLA_IFNAME, append([]byte(name), 0))
	return m
}

func (m *message) attr(kind uint16, data []byte) {
	at := m.nest(kind)
	m.b = append(m.b, data...)
	m.end(at)
}

// nest opens an attribute; end closes the one that nest opened at position at.
func (m *message) nest(kind uint16) (at int) {
	at = len(m.b)
	m.b = append(m.b, 0, 0, 0, 0)
	binary.NativeEndian.PutUint16(m.b[at+2:], kind)
	return at
}

func (m *message) end(at int) {
	binary.NativeEndian.PutUint16(m.b[at:], uint16(len(m.b)-at)) //nolint:gosec // messages are small
	for len(m.b)%unix.NLA_ALIGNTO != 0 {
		m.b = append(m.b, 0)
	}
}

func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// do sends m and waits for the acknowledgement.
func (n *Netlink) do(m *message) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd < 0 {
		return os.ErrClosed
	}
	n.seq++
	binary.NativeEndian.PutUint32(m.b, uint32(len(m.b))) //nolint:gosec // messages are small
	binary.NativeEndian.PutUint32(m.b[8:], n.seq)
	err := retryEINTR(func() error {
		return unix.Sendto(n.fd, m.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	})
	if err != nil {
		return os.NewSyscallError("sendto AF_NETLINK", err)
	}
	for {
		size, err := n.receive()
		if err != nil {
			return os.NewSyscallError("recvfrom AF_NETLINK", err)
		}
		if done, err := answers(n.buf[:size], n.seq, nil); done {
			return err
		}
	}
}

// oneAnswer is room for an answer about one route, in bytes.
const oneAnswer = 1 << 10

// askOne is do for a question that one message answers, or an error. It takes two
// system calls instead of five, each flow of a guest makes one, and the kernel
// answers before the first returns.
func (n *Netlink) askOne(m *message, got func(body []byte)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd < 0 {
		return os.ErrClosed
	}
	n.seq++
	binary.NativeEndian.PutUint32(m.b, uint32(len(m.b))) //nolint:gosec // messages are small
	binary.NativeEndian.PutUint16(m.b[6:], unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(m.b[8:], n.seq)
	if err := Send(n.fd, m.b); err != nil {
		return os.NewSyscallError("sendto AF_NETLINK", err)
	}
	if len(n.buf) < oneAnswer {
		n.buf = make([]byte, oneAnswer)
	}
	for answered := false; !answered; {
		size, err := RecvFD(n.fd, n.buf)
		if err != nil {
			return os.NewSyscallError("recvfrom AF_NETLINK", err)
		}
		done, err := answers(n.buf[:size], n.seq, func(body []byte) {
			answered = true
			got(body)
		})
		if done {
			return err
		}
	}
	return nil
}

// receive waits for a datagram and reads it into n.buf, which grows to its size:
// what is acknowledged is short, what is listed can be 32 KiB.
func (n *Netlink) receive() (size int, err error) {
	read := func(flags int) error {
		return retryEINTR(func() (err error) {
			size, _, err = unix.Recvfrom(n.fd, n.buf, flags)
			return err
		})
	}
	if err := read(unix.MSG_PEEK | unix.MSG_TRUNC); err != nil {
		return 0, err
	}
	if size > len(n.buf) {
		n.buf = make([]byte, size)
	}
	return size, read(0)
}

var errShortAnswer = errors.New("netlink answer is cut short")

// answers goes through the messages of one datagram; done means that the
// acknowledgement of request seq was among them.
func answers(b []byte, seq uint32, got func(body []byte)) (done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return true, errShortAnswer
		}
		kind, body := binary.NativeEndian.Uint16(b[4:]), b[unix.SizeofNlMsghdr:size]
		ours := binary.NativeEndian.Uint32(b[8:]) == seq
		b = b[min((size+3)&^3, len(b)):]
		switch {
		case !ours: // an answer that an earlier caller did not wait for
		case kind == unix.NLMSG_ERROR && len(body) < 4:
			return true, errShortAnswer
		case kind == unix.NLMSG_ERROR:
			if errno := -int32(binary.NativeEndian.Uint32(body)); errno != 0 { //nolint:gosec // an int in the ABI
				return true, unix.Errno(errno)
			}
			return true, nil
		case got != nil:
			got(body)
		}
	}
	return false, nil
}
