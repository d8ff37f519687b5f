package inet

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A VethEnd is one of the two interfaces of a pair.
type VethEnd struct {
	Name string
	NS   *os.File // network namespace; nil: the routing socket's
	MAC  [6]byte  // zero: the kernel makes one up
	MTU  int      // bytes; 0: 1500
	Up   bool
	// Master is the index of the bridge that it becomes a port of; 0: none. For the
	// first end of a pair only.
	Master uint32
}

// AddVethPair makes a pair of connected interfaces. EEXIST: there is one of the
// name of either.
func (n *Netlink) AddVethPair(end, peer VethEnd) error {
	m := newMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, ifInfo(end.Up))
	m.vethEnd(end)
	info := m.nest(unix.IFLA_LINKINFO)
	m.attr(unix.IFLA_INFO_KIND, []byte("veth"))
	data := m.nest(unix.IFLA_INFO_DATA)
	p := m.nest(1) // VETH_INFO_PEER (linux/veth.h)
	m.b = append(m.b, ifInfo(peer.Up)...)
	m.vethEnd(peer)
	m.end(p)
	m.end(data)
	m.end(info)
	return wrap("add veth "+end.Name, n.do(m))
}

// ifInfo is a struct ifinfomsg.
func ifInfo(up bool) []byte { //nolint:revive // a flag of the kernel's
	b := make([]byte, unix.SizeofIfInfomsg)
	if up {
		binary.NativeEndian.PutUint32(b[8:], unix.IFF_UP)
		binary.NativeEndian.PutUint32(b[12:], unix.IFF_UP)
	}
	return b
}

func (m *message) vethEnd(e VethEnd) {
	m.attr(unix.IFLA_IFNAME, append([]byte(e.Name), 0))
	if e.NS != nil {
		m.attr(unix.IFLA_NET_NS_FD, u32(uint32(e.NS.Fd()))) //nolint:gosec // a descriptor
	}
	if e.MAC != [6]byte{} {
		m.attr(unix.IFLA_ADDRESS, e.MAC[:])
	}
	if e.Master != 0 {
		m.attr(unix.IFLA_MASTER, u32(e.Master))
	}
	if e.MTU != 0 {
		m.attr(unix.IFLA_MTU, u32(uint32(e.MTU))) //nolint:gosec // at most 65535
	}
	// As many as are used: for more the kernel waits for RCU until it has put the others
	// out of use (veth_init_queues).
	m.attr(unix.IFLA_NUM_TX_QUEUES, u32(1))
	m.attr(unix.IFLA_NUM_RX_QUEUES, u32(1))
}

// DeleteLink removes the interface name, and its peer. ENODEV: there is none.
func (n *Netlink) DeleteLink(name string) error {
	m := newMessage(unix.RTM_DELLINK, 0, make([]byte, unix.SizeofIfInfomsg))
	m.attr(unix.IFLA_IFNAME, append([]byte(name), 0))
	return wrap("delete link "+name, n.do(m))
}

// DeleteLinkIndex is DeleteLink for the interface with that index, which no other
// gets later. It takes some milliseconds: the kernel waits for all who may use it.
func (n *Netlink) DeleteLinkIndex(index uint32) error {
	body := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(body[4:], index)
	return wrap(fmt.Sprintf("delete link %d", index), n.do(newMessage(unix.RTM_DELLINK, 0, body)))
}

// IsolatePort keeps the port name of a bridge from all others that are isolated
// (bridge(8), "isolated on").
func (n *Netlink) IsolatePort(name string) error {
	index, err := n.LinkIndex(name)
	if err != nil {
		return err
	}
	body := make([]byte, unix.SizeofIfInfomsg)
	body[0] = unix.AF_BRIDGE
	binary.NativeEndian.PutUint32(body[4:], index)
	m := newMessage(unix.RTM_SETLINK, 0, body)
	info := m.nest(unix.IFLA_PROTINFO | unix.NLA_F_NESTED)
	m.attr(unix.IFLA_BRPORT_ISOLATED, []byte{1})
	m.end(info)
	return wrap("isolate bridge port "+name, n.do(m))
}
