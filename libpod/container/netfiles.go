package container

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/nook-containers/nook/libpod/netprog"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/dns"
	"github.com/nook-containers/nook/pkg/problem"
)

// netView is what a container finds in /etc about the networks that it is in, by
// itself or with the one whose network it has.
type netView struct {
	name     string // of the container
	leases   []network.Lease
	gateways []netip.Addr // that answer names
	host     netip.Addr   // leads to the host; not valid: nothing does
	servers  []netip.Addr // where no gateway answers names; none: the host's
	outside  bool         // names of containers are not known, so the host's search domains are of use
}

// netView looks up what n leased for c, or what the container has whose network c
// shares.
func (e *Engine) netView(c *state.Container, n *Nets) (netView, error) {
	v := netView{name: c.Name}
	mode, id := c.Spec.NetworkMode()
	switch mode {
	case spec.NetworkHost:
		v.host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case spec.NetworkBridge:
		for _, l := range n.leased() {
			v.add(l.network, l.lease)
		}
	case spec.NetworkPasta, spec.NetworkSlirp:
		return v, v.addProgram(c.Spec)
	case spec.NetworkContainer:
		other, err := e.State.Lookup(id)
		if err != nil {
			return v, err
		}
		if theirs, _ := other.Spec.NetworkMode(); netprog.Of(theirs) {
			return v, v.addProgram(other.Spec)
		}
		for _, use := range other.Spec.Networks {
			lease, ok, err := e.Networks().LeaseOf(use.Name, other.ID)
			if err != nil || !ok {
				return v, err
			}
			network, err := e.Networks().Get(use.Name)
			if err != nil {
				return v, err
			}
			v.add(network, lease)
		}
	}
	return v, nil
}

func (v *netView) add(n spec.Network, l network.Lease) {
	v.leases = append(v.leases, l)
	if !n.Internal && !n.NoDefaultRoute {
		v.host = network.HostAlias()
	}
	if n.DNS {
		v.gateways = append(v.gateways, ip.Addr(n.Subnets[0].Gateway))
	}
	v.servers = append(v.servers, ip.Addrs(n.DNSServers)...)
}

// resolv is /etc/resolv.conf of a container; own says that it is not simply the
// host's, or the image's. Names of containers stay in their networks: the host's
// search domains are for those that have none.
func (v netView) resolv(c spec.Container) (data []byte, own bool) {
	if c.DNS.None || c.DNS.IsZero() && len(v.leases) == 0 && !v.outside {
		return nil, false
	}
	r := network.Resolv{Asked: c.DNS, Gateways: v.gateways, HostServers: v.servers}
	if v.outside || len(v.gateways) == 0 && len(v.servers) == 0 && c.Network != spec.NetworkNone && c.Network != "" {
		text, _ := os.ReadFile(hostResolvConf) // a host without one has no servers
		r.HostServers, r.HostSearch = dns.ParseResolvConf(string(text))
		if len(v.servers) > 0 {
			r.HostServers = v.servers
		}
	}
	return network.ResolvConf(r), true
}

// HostGateway in place of an address in --add-host stands for the one that leads
// to the host.
const HostGateway = "host-gateway"

// added is one line of Hosts.Add for /etc/hosts.
func (v netView) added(add string) (string, error) {
	names, address, _ := strings.Cut(add, ":")
	if address == HostGateway {
		if !v.host.IsValid() {
			return "", problem.Hint(fmt.Errorf("--add-host %s: the container's network has no way to the host", add), "add: --network bridge")
		}
		address = v.host.String()
	}
	return address + "\t" + names + "\n", nil
}

// lines are those of /etc/hosts about the container and the host.
func (v netView) lines(hostname string) []byte {
	h := network.Hosts{Hostname: hostname, Name: v.name, Leases: v.leases}
	if v.host.IsValid() {
		h.Host = []netip.Addr{v.host}
	}
	return network.HostsLines(h)
}
