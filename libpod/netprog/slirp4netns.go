package netprog

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/netprog/carrier"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/problem"
)

// slirp is slirp4netns with the options of podman-run(1).
type slirp struct {
	loopback            bool // the host's, by the gateway's address
	mtu                 int  // bytes
	cidr                netip.Prefix
	ipv6                bool
	outbound, outbound6 string // addresses or interfaces of the host
}

// Places in slirp4netns's subnet (slirp4netns(1), "--cidr"), and the longest prefix
// that has room for them.
const (
	slirpGateway, slirpServer, slirpGuest = 2, 3, 100
	slirpBits                             = 25
)

func parseSlirp(options []string) (*slirp, error) {
	s := &slirp{mtu: 65520, cidr: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 2, 0}), 24), ipv6: true}
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		if err := s.set(key, value); err != nil {
			return nil, fmt.Errorf("--network slirp4netns: option %s: %w", o, err)
		}
	}
	if s.outbound6 != "" && !s.ipv6 {
		return nil, fmt.Errorf("--network slirp4netns: option outbound_addr6: needs enable_ipv6")
	}
	return s, nil
}

func (s *slirp) set(key, value string) (err error) {
	switch key {
	case "allow_host_loopback":
		s.loopback, err = yesNo(value)
	case "enable_ipv6":
		s.ipv6, err = yesNo(value)
	case "mtu":
		s.mtu, err = packetSize(value)
	case "cidr":
		s.cidr, err = netip.ParsePrefix(value)
		if s.cidr = s.cidr.Masked(); err != nil || !s.cidr.Addr().Is4() || s.cidr.Bits() > slirpBits {
			return fmt.Errorf("want an IPv4 subnet of at most %d bits, as 10.0.2.0/24", slirpBits)
		}
	case "outbound_addr":
		s.outbound, err = value, outbound(value, netip.Addr.Is4)
	case "outbound_addr6":
		s.outbound6, err = value, outbound(value, netip.Addr.Is6)
	case "port_handler":
		err = portHandler(value)
	default:
		err = fmt.Errorf("there is none; want allow_host_loopback, cidr, enable_ipv6, mtu, outbound_addr, outbound_addr6 or port_handler")
	}
	return err
}

func packetSize(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("want bytes")
	}
	return n, syntax.MTU(n)
}

// portHandler accepts the one that is there: rootlesskit's is a part of podman.
func portHandler(text string) error {
	switch text {
	case "slirp4netns":
		return nil
	case "rootlesskit":
		return problem.Hint(fmt.Errorf("slirp4netns publishes ports itself here"), "leave port_handler out")
	}
	return fmt.Errorf("want slirp4netns")
}

func yesNo(text string) (bool, error) {
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("want true or false")
	}
	return on, nil
}

func outbound(text string, family func(netip.Addr) bool) error {
	if a, err := netip.ParseAddr(text); err == nil && family(a) || err != nil && syntax.InterfaceName(text) == nil && !strings.HasPrefix(text, "-") {
		return nil
	}
	return fmt.Errorf("want an address of this family, or an interface, of the host")
}

func (*slirp) name() string { return "slirp4netns" }
func (*slirp) pkg() string  { return "slirp4netns" }

func (*slirp) check(ports []spec.Port) error {
	for _, p := range ports {
		if p.HostIP.Is6() {
			return problem.Hint(fmt.Errorf("publish %s: slirp4netns publishes at IPv4 addresses alone", syntax.PortText(p)), "leave --network out")
		}
	}
	return nil
}

// at is a place in the subnet.
func (s *slirp) at(n int) netip.Addr {
	a := s.cidr.Addr()
	for range n {
		a = a.Next()
	}
	return a
}

func (s *slirp) View() View {
	v := View{Address: s.at(slirpGuest), Servers: []netip.Addr{s.at(slirpServer)}, Host: hostBeside(netip.Addr{})}
	if s.loopback {
		v.Host = s.at(slirpGateway)
	}
	return v
}

// args is the command line; descriptors as in package carrier.
func (s *slirp) args([]spec.Port) []string {
	args := []string{
		"--configure", "--mtu", strconv.Itoa(s.mtu), "--cidr", s.cidr.String(), "--enable-sandbox", "--enable-seccomp",
		"--ready-fd", strconv.Itoa(carrier.ReadyFD), "--api-socket", fdPath(carrier.DirFD) + "/" + carrier.SocketName,
	}
	if !s.loopback {
		args = append(args, "--disable-host-loopback")
	}
	if s.ipv6 {
		args = append(args, "--enable-ipv6")
	}
	if s.outbound != "" {
		args = append(args, "--outbound-addr="+s.outbound)
	}
	if s.outbound6 != "" {
		args = append(args, "--outbound-addr6="+s.outbound6)
	}
	return append(args, "--netns-type", "path", fdPath(carrier.NetNSFD), "tap0")
}
