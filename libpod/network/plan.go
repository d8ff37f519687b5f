package network

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/nook-containers/nook/libpod/egress"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/problem"
)

// Request asks for a network. Zero values are chosen.
type Request struct {
	Name       string
	Driver     string // default spec.BridgeDriver
	Subnets    []netip.Prefix
	Gateways   []netip.Addr       // each inside a subnet
	Ranges     []syntax.AddrRange // each inside a subnet
	NoIPv4     bool               // only IPv6
	IPv6       bool               // an IPv6 subnet too
	Internal   bool
	NoDNS      bool
	DNSServers []netip.Addr
	Egress     []string // rules of package egress
	Labels     map[string]string
	Options    syntax.NetworkOptions
	Bridge     string // name of the bridge; default bridgeName
}

// Taken is a block of addresses that the host uses.
type Taken struct {
	Prefix netip.Prefix
	By     string // for messages, as "interface eth0"
	// Routed blocks are somewhere behind a router; the others are on a link of the
	// host's.
	Routed bool
}

// bridgeName is what a network's bridge is called: it is alone in its namespace.
const bridgeName = "nook0"

// tapName is what the stack's end is called there.
const tapName = "tap0"

// Limits on subnets, in bits.
const (
	longest4, longest6   = 30, 126 // room for a gateway and a container
	shortest4, shortest6 = 8, 16
	// wide routes lead to no place in particular, as the default route, or the two
	// halves of everything that a VPN adds.
	wide = 8
)

// maxName leaves room for the suffix in a file's name.
const maxName = 128

// reserved are words that mean something else where a network is named.
func reserved(name string) bool {
	return slices.Contains([]string{
		spec.NetworkNone, spec.NetworkHost, spec.NetworkBridge, spec.NetworkContainer, spec.NetworkPath,
		spec.NetworkPasta, spec.NetworkSlirp, "default", "private", "pod",
	}, name)
}

// builtin is the default network as long as it has no file.
func builtin() spec.Network {
	p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 87, 0, 0}), 16)
	return spec.Network{
		Version: spec.Version, Name: spec.DefaultNetwork, ID: ID(spec.DefaultNetwork), Driver: spec.BridgeDriver,
		Subnets: []spec.Subnet{ip.SubnetText(ip.Subnet{Prefix: p, Gateway: p.Addr().Next()})}, DNS: true, Bridge: bridgeName,
	}
}

// Plan turns a request into a network whose subnets neither the others nor the
// host have.
func Plan(r Request, others []spec.Network, taken []Taken) (spec.Network, error) {
	n := spec.Network{
		Version: spec.Version, Name: r.Name, ID: ID(r.Name), Driver: r.Driver, Internal: r.Internal, DNS: !r.NoDNS,
		DNSServers: ip.Texts(r.DNSServers), Labels: r.Labels, MTU: r.Options.MTU, Isolate: r.Options.Isolate, NoPeers: r.Options.NoPeers,
		NoDefaultRoute: r.Options.NoDefaultRoute, HostIP: r.Options.HostIP, Egress: r.Egress, Bridge: r.Bridge, Options: maps.Clone(r.Options.Given),
	}
	if n.Driver == "" {
		n.Driver = spec.BridgeDriver
	}
	if n.Bridge == "" {
		n.Bridge = r.Options.Bridge
	}
	if n.Bridge == "" {
		n.Bridge = bridgeName
	}
	if err := checkName(r.Name); err != nil {
		return n, err
	}
	if r.NoDNS && len(r.DNSServers) > 0 {
		return n, fmt.Errorf("network %s: servers for names, and no names: choose one", r.Name)
	}
	used := inNetworks(others)
	prefixes, err := choose(r, used, taken)
	if err != nil {
		return n, err
	}
	slices.SortStableFunc(prefixes, func(a, b netip.Prefix) int { return a.Addr().BitLen() - b.Addr().BitLen() })
	subnets := make([]ip.Subnet, len(prefixes))
	for i, p := range prefixes {
		subnets[i].Prefix = p
	}
	if err := errors.Join(setGateways(subnets, r.Gateways), setRanges(subnets, r.Ranges)); err != nil {
		return n, err
	}
	for _, s := range subnets {
		n.Subnets = append(n.Subnets, ip.SubnetText(s))
	}
	_, n.IPv6 = n.Subnet(true)
	return n, Validate(n)
}

func checkName(name string) error {
	if reserved(name) {
		return fmt.Errorf("network name %q: means something else to --network", name)
	}
	if err := syntax.Name(name); err != nil {
		return fmt.Errorf("network %w", err)
	}
	if len(name) > maxName {
		return fmt.Errorf("network name %q: want at most %d characters", name, maxName)
	}
	return nil
}

// choose returns the subnets that were asked for, and free ones where an address
// family has none.
func choose(r Request, used, taken []Taken) ([]netip.Prefix, error) {
	prefixes := slices.Clone(r.Subnets)
	has := map[bool]bool{}
	for i, p := range prefixes {
		prefixes[i] = p.Masked()
		if err := checkPrefix(p); err != nil {
			return nil, err
		}
		v6 := p.Addr().Is6()
		if has[v6] {
			return nil, fmt.Errorf("subnet %s: a network has one subnet of each family", p)
		}
		has[v6] = true
		if t := overlap(p, append(slices.Clone(used), hostsOwn(taken)...)); t != nil {
			err := fmt.Errorf("subnet %s: %w with %s, which is %s", p.Masked(), ErrOverlap, t.Prefix, t.By)
			return nil, problem.Hint(err, "choose another --subnet, or leave it out for a free one")
		}
	}
	if r.NoIPv4 && has[false] {
		return nil, errors.New("an IPv4 subnet, and no IPv4: choose one")
	}
	all := append(slices.Clone(used), taken...)
	// A network asked for with IPv6 subnets alone is one without IPv4.
	if !has[false] && !r.NoIPv4 && (len(r.Subnets) == 0 || r.IPv6) {
		p, err := freeIPv4(all)
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, p)
	}
	if (r.IPv6 || r.NoIPv4) && !has[true] {
		prefixes = append(prefixes, freeIPv6(r.Name, all))
	}
	return prefixes, nil
}

func checkPrefix(p netip.Prefix) error {
	a := p.Masked().Addr()
	short, long := shortest4, longest4
	if a.Is6() {
		short, long = shortest6, longest6
	}
	switch {
	case !p.IsValid() || a.Is4In6():
		return fmt.Errorf("subnet %s: want an address of the network and its bits, as 10.90.0.0/24", p)
	case a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() || a.IsLinkLocalUnicast():
		return fmt.Errorf("subnet %s: these addresses are for something else", p)
	case p.Bits() < short || p.Bits() > long:
		return fmt.Errorf("subnet %s: want a prefix of %d to %d bits", p, short, long)
	}
	return nil
}

// inNetworks are the blocks that networks have.
func inNetworks(nets []spec.Network) []Taken {
	var out []Taken
	for _, n := range nets {
		for _, s := range n.Subnets {
			out = append(out, Taken{Prefix: ip.Prefix(s.Prefix), By: "network " + n.Name})
		}
	}
	return out
}

// hostsOwn leaves out what is behind routers: who names a subnet may want to hide
// that.
func hostsOwn(taken []Taken) []Taken {
	return slices.DeleteFunc(slices.Clone(taken), func(t Taken) bool { return t.Routed })
}

// overlap returns the first of taken that shares addresses with p.
func overlap(p netip.Prefix, taken []Taken) *Taken {
	for i, t := range taken {
		if t.Prefix.Overlaps(p) && (!t.Routed || t.Prefix.Bits() >= wide) {
			return &taken[i]
		}
	}
	return nil
}

// pools are where IPv4 subnets are taken from, /24 each: of the private blocks
// (RFC 1918) the parts that few others use.
func pools() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 89, 0, 0}), 16),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 90, 0, 0}), 15),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 96, 0, 0}), 11),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 24, 0, 0}), 13),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 128, 0}), 17),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 128, 0, 0}), 9),
	}
}

const subnetBits4, subnetBits6 = 24, 64

// freeIPv4 finds a subnet that shares no address with taken. Where routes cover
// all of the pools, what is behind routers does not count.
func freeIPv4(taken []Taken) (netip.Prefix, error) {
	for _, avoid := range [][]Taken{taken, hostsOwn(taken)} {
		for _, pool := range pools() {
			p := netip.PrefixFrom(pool.Addr(), subnetBits4)
			for pool.Contains(p.Addr()) {
				t := overlap(p, avoid)
				if t == nil {
					return p, nil
				}
				// Past whichever is larger.
				after := last(p)
				if end := last(t.Prefix); end.Compare(after) > 0 {
					after = end
				}
				p = netip.PrefixFrom(after.Next(), subnetBits4)
			}
		}
	}
	return netip.Prefix{}, problem.Hint(errors.New("no free IPv4 subnet: other networks and the host's have all"),
		"name one: --subnet 10.1.2.0/24")
}

// freeIPv6 makes a unique local subnet of a network's name (RFC 4193, section
// 3.2.2, but the same on every host: none of it leaves the host).
func freeIPv6(name string, taken []Taken) netip.Prefix {
	seed := sha256.Sum256([]byte(name))
	for {
		a := [16]byte{0: 0xfd}
		copy(a[1:8], seed[:])
		p := netip.PrefixFrom(netip.AddrFrom16(a), subnetBits6)
		if overlap(p, taken) == nil {
			return p
		}
		seed = sha256.Sum256(seed[:])
	}
}

func setGateways(subnets []ip.Subnet, gateways []netip.Addr) error {
	for _, g := range gateways {
		i := slices.IndexFunc(subnets, func(s ip.Subnet) bool { return s.Prefix.Contains(g) })
		switch {
		case i < 0:
			return fmt.Errorf("gateway %s: is in no subnet of the network", g)
		case subnets[i].Gateway.IsValid():
			return fmt.Errorf("gateway %s: subnet %s has %s already", g, subnets[i].Prefix, subnets[i].Gateway)
		}
		subnets[i].Gateway = g
	}
	for i := range subnets {
		if s := &subnets[i]; !s.Gateway.IsValid() {
			s.Gateway = s.Prefix.Addr().Next()
		}
	}
	return nil
}

func setRanges(subnets []ip.Subnet, ranges []syntax.AddrRange) error {
	for _, r := range ranges {
		i := slices.IndexFunc(subnets, func(s ip.Subnet) bool { return s.Prefix.Contains(r.First) && s.Prefix.Contains(r.Last) })
		switch {
		case i < 0:
			return fmt.Errorf("range %s: is in no subnet of the network", r)
		case subnets[i].RangeFirst.IsValid():
			return fmt.Errorf("range %s: subnet %s has one already", r, subnets[i].Prefix)
		}
		subnets[i].RangeFirst, subnets[i].RangeLast = r.First, r.Last
	}
	return nil
}

// Validate reports what is wrong with a network, as it is stored.
func Validate(n spec.Network) error {
	errs := []error{checkName(n.Name), syntax.InterfaceName(n.Bridge), syntax.MTU(n.MTU)}
	if n.Bridge == tapName {
		errs = append(errs, fmt.Errorf("interface name %q: is that of the way out, beside the bridge", n.Bridge))
	}
	if n.Driver != spec.BridgeDriver {
		errs = append(errs, problem.Hint(fmt.Errorf("network driver %q: there is only %s", n.Driver, spec.BridgeDriver), "leave --driver out"))
	}
	if len(n.Subnets) == 0 || len(n.Subnets) > 2 || len(n.Subnets) == 2 && n.Subnets[0].Prefix.Is6() == n.Subnets[1].Prefix.Is6() {
		errs = append(errs, fmt.Errorf("network %s: want one subnet, or one of each family", n.Name))
	}
	for _, s := range n.Subnets {
		errs = append(errs, checkSubnet(s))
	}
	for _, s := range n.DNSServers {
		if a := ip.Addr(s); !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			errs = append(errs, fmt.Errorf("name server %q: not an address of a host", string(s)))
		}
	}
	if _, err := ip.ParseAddr(n.HostIP); err != nil {
		errs = append(errs, fmt.Errorf("ports of the host: %w", err))
	}
	return errors.Join(append(errs, CheckEgress(n, n.Egress))...)
}

// CheckEgress finds rules of egress that cannot be kept in a network.
func CheckEgress(n spec.Network, rules []string) error {
	parsed, err := egress.Parse(rules)
	if err == nil && !n.DNS && egress.HasNames(parsed) {
		err = problem.Hint(fmt.Errorf("network %s: has no resolver, which rules of egress with names need", n.Name),
			"give addresses in --egress, or make the network without --disable-dns")
	}
	return err
}

func checkSubnet(text spec.Subnet) error {
	s, err := ip.ParseSubnet(text)
	if err != nil {
		return err
	}
	if err := checkPrefix(s.Prefix); err != nil {
		return err
	}
	if s.Prefix != s.Prefix.Masked() {
		return fmt.Errorf("subnet %s: want %s", s.Prefix, s.Prefix.Masked())
	}
	if !usable(s.Prefix, s.Gateway) {
		return fmt.Errorf("gateway %s: not an address for a host in %s", s.Gateway, s.Prefix)
	}
	if !s.RangeFirst.IsValid() && !s.RangeLast.IsValid() {
		return nil
	}
	if !s.Prefix.Contains(s.RangeFirst) || !s.Prefix.Contains(s.RangeLast) || s.RangeLast.Less(s.RangeFirst) {
		return fmt.Errorf("range %s-%s: want addresses of %s in order", s.RangeFirst, s.RangeLast, s.Prefix)
	}
	return nil
}
