package syntax

import (
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
)

// NetworkArg is what one --network says.
type NetworkArg struct {
	Mode string // spec.NetworkNone and so on
	// Arg is a container's name or id, or the absolute path of a network namespace.
	Arg     string
	Use     spec.NetworkUse // with spec.NetworkBridge
	Options []string        // with spec.NetworkPasta and spec.NetworkSlirp, checked by who runs them
}

// Network reads --network: none, host, container:CONTAINER, ns:PATH,
// pasta[:OPTION,...], slirp4netns[:OPTION,...], or a network's name with
// [:ip=ADDRESS,ip6=ADDRESS,mac=ADDRESS,alias=NAME,interface_name=NAME,mtu=BYTES].
// bridge, default and private are the default network. Docker's
// name=NETWORK,alias=NAME,... is the same in other words.
func Network(text string) (NetworkArg, error) {
	const kind = "network"
	if strings.HasPrefix(text, "name=") {
		return networkFields(text)
	}
	mode, rest, hasRest := strings.Cut(text, ":")
	arg := NetworkArg{Mode: mode}
	switch mode {
	case spec.NetworkNone, spec.NetworkHost:
		if hasRest {
			return arg, bad(kind, text, "%s takes no options", mode)
		}
		return arg, nil
	case spec.NetworkContainer, spec.NetworkPath, spec.NetworkPasta, spec.NetworkSlirp:
		return arg, arg.elsewhere(text, rest, hasRest)
	case "pod":
		return arg, bad(kind, text, "a container of a pod has the pod's network without being told: --pod NAME")
	case spec.NetworkBridge, "default", "private":
		mode = spec.DefaultNetwork
	}
	arg.Mode, arg.Use.Name = spec.NetworkBridge, mode
	if err := Name(mode); err != nil {
		return arg, bad(kind, text, "a network's name has letters, digits, '_', '.' and '-'")
	}
	if !hasRest {
		return arg, nil
	}
	for o := range strings.SplitSeq(rest, ",") {
		if err := useOption(&arg.Use, text, o); err != nil {
			return arg, err
		}
	}
	return arg, nil
}

// elsewhere reads what is behind the modes that are not networks of nook's.
func (arg *NetworkArg) elsewhere(text, rest string, hasRest bool) error { //nolint:revive // whether there was a colon
	const kind = "network"
	switch arg.Mode {
	case spec.NetworkContainer:
		if arg.Arg = rest; rest == "" {
			return bad(kind, text, "want container:CONTAINER")
		}
	case spec.NetworkPath:
		if arg.Arg = path.Clean(rest); !strings.HasPrefix(rest, "/") {
			return bad(kind, text, "want ns: and the absolute path of a network namespace")
		}
	default:
		if hasRest && rest == "" {
			return bad(kind, text, "want options after the colon")
		}
		if hasRest {
			arg.Options = strings.Split(rest, ",")
		}
	}
	return nil
}

// networkFields reads the form of Docker's that begins with name=.
func networkFields(text string) (NetworkArg, error) {
	fields := strings.Split(text, ",")
	arg, err := Network(strings.TrimPrefix(fields[0], "name="))
	if err != nil {
		return arg, err
	}
	if arg.Mode != spec.NetworkBridge && len(fields) > 1 {
		return arg, bad("network", text, "%s takes no options", arg.Mode)
	}
	for _, f := range fields[1:] {
		if err := useOption(&arg.Use, text, f); err != nil {
			return arg, err
		}
	}
	return arg, nil
}

func useOption(u *spec.NetworkUse, text, option string) error {
	const kind = "network"
	key, value, _ := strings.Cut(option, "=")
	var err error
	switch key {
	case "ip":
		u.IPv4, err = IPv4(value)
	case "ip6":
		u.IPv6, err = IPv6(value)
	case "mac", "mac-address":
		u.MAC, err = MAC(value)
	case "alias":
		if err = HostName(value); err == nil {
			u.Aliases = append(u.Aliases, value)
		}
	case "interface_name":
		if u.Interface = value; value == "" {
			return bad(kind, text, "interface_name wants a name")
		}
		err = InterfaceName(value)
	case "mtu":
		if u.MTU, err = strconv.Atoi(value); err != nil || u.MTU == 0 {
			return bad(kind, text, "mtu wants bytes")
		}
		err = MTU(u.MTU)
	case "":
		return bad(kind, text, "an option is missing")
	default:
		return bad(kind, text, "there is no option %q; want ip, ip6, mac, alias, interface_name or mtu", key)
	}
	return err
}

// Address reads the address of a host.
func Address(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil || a.Is4In6():
		return netip.Addr{}, bad("address", text, "want an IPv4 or IPv6 address")
	case a.IsUnspecified() || a.IsMulticast() || a.Zone() != "":
		return netip.Addr{}, bad("address", text, "want the address of one host, without a zone")
	}
	return a, nil
}

// IPv4 reads an IPv4 address.
func IPv4(text string) (spec.Addr, error) {
	a, err := Address(text)
	if err == nil && !a.Is4() {
		err = bad("address", text, "want an IPv4 address")
	}
	return ip.Text(a), err
}

// IPv6 reads an IPv6 address.
func IPv6(text string) (spec.Addr, error) {
	a, err := Address(text)
	if err == nil && !a.Is6() {
		err = bad("address", text, "want an IPv6 address")
	}
	return ip.Text(a), err
}

// MAC reads a hardware address.
func MAC(text string) (m spec.MAC, err error) {
	if err = m.UnmarshalText([]byte(text)); err != nil {
		return m, bad("hardware address", text, "%v", err)
	}
	return m, nil
}

// maxInterface is the longest name of an interface (IFNAMSIZ, netdevice(7)).
const maxInterface = 15

// InterfaceName checks the name of a network interface as the kernel does
// (dev_valid_name in net/core/dev.c), and more.
func InterfaceName(text string) error {
	const kind = "interface name"
	if text == "" || len(text) > maxInterface {
		return bad(kind, text, "want 1 to %d characters", maxInterface)
	}
	if text == "." || text == ".." || text == "lo" {
		return bad(kind, text, "means something else")
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("/:%", c) >= 0 {
			return bad(kind, text, "want letters, digits and punctuation without '/', ':' and '%%'")
		}
	}
	return nil
}

// MTU bounds, in bytes: what IPv6 needs (RFC 8200, section 5), and what the stack
// carries.
const minMTU, maxMTU = 1280, 65520

// MTU checks the largest packet of a network; 0 is the default.
func MTU(n int) error {
	if n != 0 && (n < minMTU || n > maxMTU) {
		return bad("mtu", strconv.Itoa(n), "want %d to %d bytes", minMTU, maxMTU)
	}
	return nil
}

// Longest parts of a host name (RFC 1035, section 2.3.4).
const maxLabel, maxHostName = 63, 253

// HostName checks a name that a container is found by: labels of letters, digits,
// '-' and '_' with dots between.
func HostName(text string) error {
	const kind = "host name"
	if text == "" || len(text) > maxHostName {
		return bad(kind, text, "want 1 to %d characters", maxHostName)
	}
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > maxLabel || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return bad(kind, text, "each part between dots has 1 to %d characters, the first and last no '-'", maxLabel)
		}
		if strings.ContainsFunc(label, func(c rune) bool {
			return c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z')
		}) {
			return bad(kind, text, "want letters, digits, '-' and '_'")
		}
	}
	return nil
}

// DNSServer reads --dns: an address, or none for the image's own resolv.conf.
func DNSServer(d *spec.DNS, text string) error {
	if text == "none" {
		d.None = true
		return nil
	}
	a, err := Address(text)
	if s := ip.Text(a); err == nil && !slices.Contains(d.Servers, s) {
		d.Servers = append(d.Servers, s)
	}
	return err
}

// DNSSearch checks --dns-search: a domain, or "." for none.
func DNSSearch(text string) error {
	if text == "." {
		return nil
	}
	return HostName(strings.TrimSuffix(text, "."))
}

// DNSOption checks --dns-option, a word for "options" of resolv.conf(5).
func DNSOption(text string) error {
	if text == "" || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' || c == '#' || c == ';' }) {
		return bad("resolver option", text, "want one word, as ndots:2")
	}
	return nil
}

// AddrRange is addresses in a row, both ends included.
type AddrRange struct{ First, Last netip.Addr }

func (r AddrRange) String() string { return r.First.String() + "-" + r.Last.String() }

// IPRange reads --ip-range: PREFIX/BITS or FIRST-LAST.
func IPRange(text string) (AddrRange, error) {
	const kind = "address range"
	if from, to, ok := strings.Cut(text, "-"); ok {
		first, err1 := Address(from)
		last, err2 := Address(to)
		if err1 != nil || err2 != nil || first.BitLen() != last.BitLen() || last.Less(first) {
			return AddrRange{}, bad(kind, text, "want FIRST-LAST in order, or a subnet")
		}
		return AddrRange{first, last}, nil
	}
	p, err := Subnet(text)
	if err != nil {
		return AddrRange{}, bad(kind, text, "want FIRST-LAST in order, or a subnet as 10.90.0.128/25")
	}
	end := p.Addr().AsSlice()
	for i := range end {
		end[i] |= byte(1<<min(max((i+1)*8-p.Bits(), 0), 8) - 1)
	}
	last, _ := netip.AddrFromSlice(end)
	return AddrRange{p.Addr(), last}, nil
}

// Subnet reads an address of a network and its bits.
func Subnet(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return p, bad("subnet", text, "want an address of the network and its bits, as 10.90.0.0/24")
	}
	return p.Masked(), nil
}

// NetworkOptions are what network create --opt can say.
type NetworkOptions struct {
	MTU            int
	Isolate        bool
	NoPeers        bool
	NoDefaultRoute bool
	HostIP         spec.Addr
	Bridge         string
	Given          map[string]string // as they were written
}

// NetworkOption reads --opt KEY=VALUE of network create into o, in podman's and
// Docker's words.
func NetworkOption(o *NetworkOptions, text string) error {
	const kind = "network option"
	key, value, ok := strings.Cut(text, "=")
	if !ok || value == "" {
		return bad(kind, text, "want KEY=VALUE")
	}
	if _, twice := o.Given[key]; twice {
		return bad(kind, text, "%s is given twice", key)
	}
	if err := o.set(text, key, value); err != nil {
		return err
	}
	if o.Given == nil {
		o.Given = map[string]string{}
	}
	o.Given[key] = value
	return nil
}

// set reads one option.
func (o *NetworkOptions) set(text, key, value string) (err error) {
	const kind = "network option"
	switch short := strings.TrimPrefix(strings.TrimPrefix(key, "com.docker.network."), "driver."); short {
	case "mtu":
		if o.MTU, err = strconv.Atoi(value); err != nil || o.MTU == 0 {
			return bad(kind, text, "want bytes")
		}
		err = MTU(o.MTU)
	case "bridge.name":
		o.Bridge, err = value, InterfaceName(value)
	case "bridge.host_binding_ipv4":
		a, aerr := netip.ParseAddr(value)
		if aerr != nil || !a.Is4() {
			return bad(kind, text, "want an IPv4 address of the host")
		}
		o.HostIP = ip.Text(a)
	case "isolate", "no_default_route", "bridge.enable_icc", "bridge.enable_ip_masquerade":
		err = o.yesNo(text, short, value)
	case "vlan", "vrf", "parent", "mode", "metric", "bclim":
		return bad(kind, text, "needs a device of the host, which only root can change")
	default:
		return bad(kind, text, "there is no option %q", key)
	}
	return err
}

// yesNo reads the options that are true or false.
func (o *NetworkOptions) yesNo(text, key, value string) error {
	on, err := strconv.ParseBool(value)
	if key == "isolate" && value == "strict" {
		on, err = true, nil
	}
	if err != nil {
		return bad("network option", text, "want true or false")
	}
	switch key {
	case "isolate":
		o.Isolate = on
	case "no_default_route":
		o.NoDefaultRoute = on
	case "bridge.enable_icc":
		o.NoPeers = !on
	default:
		if !on {
			return bad("network option", text, "a user's network has no addresses that others could route to; for no way out use --internal")
		}
	}
	return nil
}
