package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/problem/remedy"
	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp"
)

// DialUDP opens a socket that sends to and receives from dst only, and reports
// every ICMP error about it.
func DialUDP(dst netip.AddrPort) (*net.UDPConn, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(dst))
	if err != nil {
		return nil, err
	}
	if err := withFD(c, func(fd int) error { return inet.WantErrors(fd, dst.Addr()) }); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// withFD runs fn on the descriptor of c.
func withFD(c syscall.Conn, fn func(fd int) error) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := rc.Control(func(fd uintptr) { inner = fn(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// allowPing is the command that lets every group send echo requests (icmp(7),
// ping_group_range).
func allowPing() string { return remedy.Sysctl("net.ipv4.ping_group_range", "0 2147483647") }

// allowPorts is the command that lets users listen from port up (kernel doc
// ip-sysctl, ip_unprivileged_port_start).
func allowPorts(port uint16) string {
	return remedy.Sysctl("net.ipv4.ip_unprivileged_port_start", strconv.Itoa(int(port)))
}

// CheckPing says why this process can't send echo requests; nil means it can.
func CheckPing() error {
	f, err := inet.OpenPing(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	if err == nil {
		return f.Close()
	}
	if OutcomeOf(err) == Prohibited {
		return problem.Run(fmt.Errorf("ping: %w", err), allowPing())
	}
	return fmt.Errorf("ping: %w", err)
}

// hostAddrs are the addresses to listen on for p, with the network that net.Listen
// is to use: "tcp6" does not take IPv4 clients.
func hostAddrs(p slirp.Port) []netip.Addr {
	if p.HostIP.IsValid() {
		return []netip.Addr{p.HostIP}
	}
	return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
}

func network(p slirp.Port, a netip.Addr) string {
	if a.Is4() {
		return p.Proto.String() + "4"
	}
	return p.Proto.String() + "6"
}

// Listen opens the sockets of p: listeners for TCP, bound ones that know where a
// datagram came to for UDP. It returns p with the port that the kernel chose where
// p.HostPort is 0, the same one for both families. A host without IPv6 has no
// socket for it, where p asks for every address.
func Listen(ctx context.Context, p slirp.Port) (slirp.Port, []Socket, error) {
	if p.Listener != nil {
		return inherited(p)
	}
	for try := 0; ; try++ {
		chosen, socks, err := listenAll(ctx, p)
		// The port that one family chose may be taken in the other.
		if errors.Is(err, syscall.EADDRINUSE) && p.HostPort == 0 && try < 16 {
			continue
		}
		return chosen, socks, explain(p, err)
	}
}

// A Socket is one that Listen opened: one of its fields.
type Socket struct {
	TCP *net.TCPListener
	UDP *net.UDPConn
}

// Close closes the socket.
func (s Socket) Close() error {
	if s.TCP != nil {
		return s.TCP.Close()
	}
	return s.UDP.Close()
}

func (s Socket) port() uint16 {
	var a net.Addr
	if s.TCP != nil {
		a = s.TCP.Addr()
	} else {
		a = s.UDP.LocalAddr()
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return 0
	}
	return ap.Port()
}

func listenAll(ctx context.Context, p slirp.Port) (slirp.Port, []Socket, error) {
	var socks []Socket
	for _, a := range hostAddrs(p) {
		s, err := listenOne(ctx, p, a)
		if errors.Is(err, syscall.EAFNOSUPPORT) && len(socks) > 0 {
			continue // no IPv6 on this host
		}
		if err != nil {
			for _, s := range socks {
				_ = s.Close()
			}
			return p, nil, err
		}
		socks = append(socks, s)
		p.HostPort = s.port()
	}
	return p, socks, nil
}

func listenOne(ctx context.Context, p slirp.Port, a netip.Addr) (Socket, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	addr := netip.AddrPortFrom(a, p.HostPort).String()
	if p.Proto == slirp.TCP {
		l, err := lc.Listen(ctx, network(p, a), addr)
		if err != nil {
			return Socket{}, err
		}
		return Socket{TCP: l.(*net.TCPListener)}, nil //nolint:forcetypeassert // the network is tcp
	}
	c, err := lc.ListenPacket(ctx, network(p, a), addr)
	if err != nil {
		return Socket{}, err
	}
	u := c.(*net.UDPConn) //nolint:forcetypeassert // the network is udp
	if err := withFD(u, func(fd int) error { return inet.WantPacketInfo(fd, a.Is6()) }); err != nil {
		return Socket{}, errors.Join(err, u.Close())
	}
	return Socket{UDP: u}, nil
}

func inherited(p slirp.Port) (slirp.Port, []Socket, error) {
	l, err := net.FileListener(p.Listener)
	if err != nil {
		return p, nil, fmt.Errorf("publish %s: descriptor: %w", p, err)
	}
	t, ok := l.(*net.TCPListener)
	if !ok {
		return p, nil, errors.Join(fmt.Errorf("publish %s: descriptor: not a TCP listener", p), l.Close())
	}
	s := Socket{TCP: t}
	p.HostPort = s.port()
	return p, []Socket{s}, nil
}

// firstFree is what makes an ordinary user's port of one below 1024 in advice: 8080
// of 80.
const firstFree = 8000

// explain adds advice to the error of a listen call.
func explain(p slirp.Port, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("publish %s: %w", p, err)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return problem.Hint(err, "run: ss -lnp 'sport = :%d' (shows who has it), or publish another port", p.HostPort)
	case errors.Is(err, syscall.EACCES):
		return problem.Hint(err, "add: --publish %d:%d; or run: %s", firstFree+p.HostPort, p.GuestPort, allowPorts(p.HostPort))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return problem.Hint(err, "run: ip address (the host does not have %s)", p.HostIP)
	}
	return err
}
