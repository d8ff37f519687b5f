package container

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/libpod/state"
)

// InspectNetwork is how a container is reached: addresses while it runs, and what
// it asked for when it does not.
type InspectNetwork struct {
	InspectAddress

	Ports      map[string][]InspectPort // by PORT/PROTOCOL; null for one that is exposed and not published
	Networks   map[string]*InspectEndpoint
	SandboxKey string // its network namespace
}

// InspectPort is one port of the host that leads to the container.
type InspectPort struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}

// InspectAddress is the address in the default network.
type InspectAddress struct {
	EndpointID             string
	Gateway                string
	IPAddress              string
	IPPrefixLen            int
	IPv6Gateway            string
	GlobalIPv6Address      string
	GlobalIPv6PrefixLen    int
	LinkLocalIPv6Address   string
	LinkLocalIPv6PrefixLen int
	MacAddress             string
	Bridge                 string
	SandboxID              string
	HairpinMode            bool
}

// InspectEndpoint is a container in one network.
type InspectEndpoint struct {
	EndpointID          string
	Gateway             string
	IPAddress           string
	IPPrefixLen         int
	IPv6Gateway         string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	MacAddress          string
	NetworkID           string
	DriverOpts          map[string]string
	IPAMConfig          map[string]string
	Links               []string
	Aliases             []string
}

// describeNetwork shows c's networks. One that has been damaged or removed by hand
// shows without addresses.
func describeNetwork(c *state.Container, st state.Status) (InspectNetwork, error) {
	out := InspectNetwork{Networks: map[string]*InspectEndpoint{}, Ports: shownPorts(c, st)}
	nets := network.Of(c.Store())
	for _, use := range c.Spec.Networks {
		end := &InspectEndpoint{
			NetworkID: network.ID(use.Name), DriverOpts: map[string]string{}, IPAMConfig: map[string]string{}, Links: []string{},
			Aliases: append(slices.Clone(orEmpty(use.Aliases)), c.Short()),
		}
		out.Networks[use.Name] = end
		for key, a := range map[string]spec.Addr{"IPv4Address": use.IPv4, "IPv6Address": use.IPv6} {
			if a != "" {
				end.IPAMConfig[key] = string(a)
			}
		}
		if !st.Alive() {
			continue
		}
		lease, ok, err := nets.LeaseOf(use.Name, c.ID)
		if err != nil {
			return out, err
		}
		if n, err := nets.Get(use.Name); ok && err == nil {
			end.fill(n, lease)
		}
	}
	if end := out.Networks[spec.DefaultNetwork]; end != nil {
		out.InspectAddress = InspectAddress{
			Gateway: end.Gateway, IPAddress: end.IPAddress, IPPrefixLen: end.IPPrefixLen, IPv6Gateway: end.IPv6Gateway,
			GlobalIPv6Address: end.GlobalIPv6Address, GlobalIPv6PrefixLen: end.GlobalIPv6PrefixLen, MacAddress: end.MacAddress,
		}
	}
	if mode, _ := c.Spec.NetworkMode(); st.Alive() && mode != spec.NetworkHost {
		out.SandboxKey = fmt.Sprintf("/proc/%d/ns/net", st.Run.PID)
	}
	return out, nil
}

func (e *InspectEndpoint) fill(n spec.Network, l network.Lease) {
	e.MacAddress = l.MAC.String()
	if s, ok := ip.SubnetOf(n, false); ok && l.IPv4.IsValid() {
		e.Gateway, e.IPAddress, e.IPPrefixLen = s.Gateway.String(), l.IPv4.String(), s.Prefix.Bits()
	}
	if s, ok := ip.SubnetOf(n, true); ok && l.IPv6.IsValid() {
		e.IPv6Gateway, e.GlobalIPv6Address, e.GlobalIPv6PrefixLen = s.Gateway.String(), l.IPv6.String(), s.Prefix.Bits()
	}
}

// Published is one port of the host and the container's port that it leads to.
type Published struct {
	Host      netip.AddrPort // port 0: not chosen yet
	Container uint16
	Proto     string
}

// PortsNow are the ports of c: as they are published if it runs, else as it asks
// for them.
func PortsNow(c *state.Container, st state.Status) []spec.Port {
	if !st.Alive() {
		asked := Ports(c.Spec, c.Image)
		for i, p := range asked {
			if p.HostRange != 0 { // not chosen yet
				asked[i].HostPort, asked[i].HostRange = 0, 0
			}
		}
		return asked
	}
	var out []spec.Port
	for _, p := range st.Run.Ports { // each on its own
		if n := len(out); n > 0 && follows(out[n-1], p) {
			out[n-1].Range++
			continue
		}
		out = append(out, p)
	}
	return out
}

// follows reports whether next, a single port, goes on where p ends.
func follows(p, next spec.Port) bool {
	return p.Proto == next.Proto && p.HostIP == next.HostIP &&
		int(p.HostPort)+int(p.Range) == int(next.HostPort) && int(p.ContainerPort)+int(p.Range) == int(next.ContainerPort)
}

// PublishedPorts lists what is published of c, one by one. A range is as many.
func PublishedPorts(c *state.Container, st state.Status) []Published {
	return EachPort(PortsNow(c, st))
}

// EachPort lists ports one by one.
func EachPort(ports []spec.Port) []Published {
	var out []Published
	for _, p := range ports {
		host := ip.Addr(p.HostIP)
		if !host.IsValid() {
			host = netip.IPv4Unspecified()
		}
		for i := range p.Range {
			port := p.HostPort
			if port != 0 {
				port += i
			}
			out = append(out, Published{netip.AddrPortFrom(host, port), p.ContainerPort + i, p.Proto})
		}
	}
	return out
}

// Key is the container's side, as inspect and port show it.
func (p Published) Key() string { return strconv.Itoa(int(p.Container)) + "/" + p.Proto }

func shownPorts(c *state.Container, st state.Status) map[string][]InspectPort {
	out := map[string][]InspectPort{}
	for _, p := range Exposed(c.Spec, c.Image) {
		out[Published{Container: p.ContainerPort, Proto: p.Proto}.Key()] = nil
	}
	for _, p := range PublishedPorts(c, st) {
		out[p.Key()] = append(out[p.Key()], InspectPort{HostIP: p.Host.Addr().String(), HostPort: strconv.Itoa(int(p.Host.Port()))})
	}
	return out
}

// portBindings is what was asked for.
func portBindings(ports []spec.Port) map[string][]InspectPort {
	out := map[string][]InspectPort{}
	for _, p := range ports {
		for i := range p.Range {
			key := Published{Container: p.ContainerPort + i, Proto: p.Proto}.Key()
			b := InspectPort{HostIP: string(p.HostIP)}
			if p.HostPort != 0 {
				b.HostPort = strconv.Itoa(int(p.HostPort + i))
			}
			if p.HostRange != 0 {
				b.HostPort += "-" + strconv.Itoa(int(p.HostPort)+int(p.HostRange)-1)
			}
			out[key] = append(out[key], b)
		}
	}
	return out
}

func exposedPorts(c spec.Container, img spec.ImageConfig) map[string]struct{} {
	out := map[string]struct{}{}
	for _, p := range Exposed(c, img) {
		out[Published{Container: p.ContainerPort, Proto: p.Proto}.Key()] = struct{}{}
	}
	return out
}

func words[T ~string](all []T) []string {
	out := []string{}
	for _, x := range all {
		out = append(out, string(x))
	}
	return out
}
