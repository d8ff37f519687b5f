package netprog

import (
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nook-containers/nook/libpod/netprog/carrier"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/problem"
)

// pasta is pasta with options of its own, one word each.
type pasta struct{ options []string }

// forwards is the address whose queries pasta forwards to the host's servers, which
// may be on the host's loopback. Podman's.
func forwards() netip.Addr { return netip.AddrFrom4([4]byte{169, 254, 1, 1}) }

// pastaOwn are the options that say how pasta is started: those are nook's.
func pastaOwn() []string {
	return []string{
		"-h", "--help", "--version", "-f", "--foreground", "-P", "--pid", "-F", "--fd", "-s", "--socket", "--runas", "-1", "--one-off",
		"--netns", "--netns-only", "--userns", "--vhost-user",
	}
}

func parsePasta(options []string) (*pasta, error) {
	for i, o := range options {
		name, _, _ := strings.Cut(o, "=")
		switch {
		case o == "":
			return nil, fmt.Errorf("--network pasta: an option is missing")
		case i == 0 && !strings.HasPrefix(o, "-"):
			return nil, problem.Hint(fmt.Errorf("--network pasta: option %s: want one of pasta's", o), "run: pasta --help; a value is a word of its own: --network pasta:--mtu,1500")
		case slices.Contains(pastaOwn(), name):
			return nil, fmt.Errorf("--network pasta: option %s: how pasta is started cannot be chosen", o)
		}
	}
	return &pasta{options}, nil
}

func (*pasta) name() string            { return "pasta" }
func (*pasta) pkg() string             { return "passt" }
func (*pasta) check([]spec.Port) error { return nil }

// has reports whether one of the options is among names.
func (p *pasta) has(names ...string) bool {
	return slices.ContainsFunc(p.options, func(o string) bool {
		name, _, _ := strings.Cut(o, "=")
		return slices.Contains(names, name)
	})
}

// addresses are the values of an option.
func (p *pasta) addresses(name string) []netip.Addr {
	var out []netip.Addr
	for i, o := range p.options {
		text, ok := strings.CutPrefix(o, name+"=")
		if o == name && i+1 < len(p.options) {
			text, ok = p.options[i+1], true
		}
		if a, err := netip.ParseAddr(text); ok && err == nil {
			out = append(out, a)
		}
	}
	return out
}

// ownForward reports whether names are looked up as the options say, or not by IPv4.
func (p *pasta) ownForward() bool { return p.has("-D", "--dns", "--dns-forward", "-6", "--ipv6-only") }

// View finds the host by an address that pasta maps to it, where this pasta can; else
// by one of the host's that the container has no copy of.
func (p *pasta) View() View {
	v := View{Servers: p.addresses("--dns-forward")}
	if !p.ownForward() {
		v.Servers = []netip.Addr{forwards()}
	}
	switch mapped := append(p.addresses("--map-guest-addr"), p.addresses("--map-host-loopback")...); {
	case len(mapped) > 0:
		v.Host = mapped[0]
	case p.mapsHost():
		v.Host = network.HostAlias()
	case p.has("-a", "--address"):
		v.Host = hostBeside(netip.Addr{})
	default:
		v.Host = hostBeside(hostBeside(netip.Addr{})) // pasta copies the address of the way out
	}
	return v
}

// mapsGuest reports whether the pasta of this host has --map-guest-addr (since
// August 2024).
var mapsGuest = sync.OnceValue(func() bool { //nolint:gochecknoglobals // one program, asked once
	help, _ := exec.Command("pasta", "--help").CombinedOutput()
	return strings.Contains(string(help), "--map-guest-addr")
})

// mapsHost reports whether an address is mapped to the host for the container.
func (p *pasta) mapsHost() bool { return !p.has("-6", "--ipv6-only") && mapsGuest() }

// args is the command line; descriptors as in package carrier. Without a word about them no
// port is forwarded, in neither direction, and the gateway is not the host.
func (p *pasta) args(ports []spec.Port) []string {
	args := []string{"--config-net"}
	for _, o := range p.options {
		if o != "--map-gw" { // podman's word for the absence of the opposite
			args = append(args, o)
		}
	}
	for _, port := range ports {
		text := strconv.Itoa(int(port.HostPort)) + ":" + strconv.Itoa(int(port.ContainerPort))
		if port.HostIP != "" {
			text = string(port.HostIP) + "/" + text
		}
		args = append(args, "--"+port.Proto+"-ports", text)
	}
	for _, o := range [][]string{{"-t", "--tcp-ports"}, {"-u", "--udp-ports"}, {"-T", "--tcp-ns"}, {"-U", "--udp-ns"}} {
		if !p.has(o...) && !slices.Contains(args, o[1]) {
			args = append(args, o[1], "none")
		}
	}
	if !p.has("--map-gw", "--no-map-gw") {
		args = append(args, "--no-map-gw")
	}
	if !p.ownForward() {
		args = append(args, "--dns-forward", forwards().String())
	}
	if !p.has("--map-guest-addr", "--map-host-loopback") && p.mapsHost() {
		args = append(args, "--map-guest-addr", network.HostAlias().String())
	}
	if !p.has("-d", "--debug", "--trace", "-q", "--quiet") {
		args = append(args, "--quiet")
	}
	return append(args, "--foreground", "--stderr", "--pid", fdPath(carrier.ReadyFD), "--netns-only", "--netns", fdPath(carrier.NetNSFD))
}
