package spec

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Modes of a container's network: the word that Container.Network begins with.
// NetworkContainer and NetworkPath have ":" and the full id or the absolute path
// behind it.
const (
	NetworkNone      = "none" // loopback alone; also what an empty Network means
	NetworkHost      = "host"
	NetworkBridge    = "bridge"      // in Container.Networks
	NetworkContainer = "container"   // that of another container
	NetworkPath      = "ns"          // the network namespace at a path
	NetworkPasta     = "pasta"       // a network of its own, by pasta(1)
	NetworkSlirp     = "slirp4netns" // a network of its own, by slirp4netns(1)
)

// DefaultNetwork is the network that is always there.
const DefaultNetwork = "nook"

// BridgeDriver is the only driver of networks.
const BridgeDriver = "bridge"

// NetworkMode splits c.Network into one of the modes above and what is behind the
// colon.
func (c Container) NetworkMode() (mode, arg string) {
	mode, arg, _ = strings.Cut(c.Network, ":")
	if mode == "" {
		mode = NetworkNone
	}
	return mode, arg
}

// Network is a network that containers are in: a bridge with one subnet or one of
// each family, and a gateway that leads out.
type Network struct {
	Version int       `json:"version"`
	Name    string    `json:"name"`
	ID      string    `json:"id"`     // 64 hex digits
	Driver  string    `json:"driver"` // BridgeDriver
	Created time.Time `json:"created"`
	Subnets []Subnet  `json:"subnets"` // one, or an IPv4 and an IPv6 one
	IPv6    bool      `json:"ipv6,omitempty"`
	// Internal networks have no way out, and no ports can be published.
	Internal bool `json:"internal,omitempty"`
	DNS      bool `json:"dns"` // the gateway answers names
	// DNSServers are asked for names that are not of the network; default: the
	// host's.
	DNSServers []Addr            `json:"dnsServers,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	MTU        int               `json:"mtu,omitempty"` // bytes; 0: the stack's own
	// Isolate keeps the network's containers apart from those of other networks,
	// which nook's networks are in any case; it is kept because it was asked for.
	Isolate bool `json:"isolate,omitempty"`
	// NoPeers keeps the network's own containers apart from each other
	// (com.docker.network.bridge.enable_icc=false).
	NoPeers bool `json:"noPeers,omitempty"`
	// NoDefaultRoute leaves the way out of the containers' routes.
	NoDefaultRoute bool `json:"noDefaultRoute,omitempty"`
	// Egress is where its containers may go outside (package egress); none: anywhere.
	Egress  []string          `json:"egress,omitempty"`
	HostIP  Addr              `json:"hostIP,omitzero"`  // where ports are published that name no address
	Bridge  string            `json:"bridge,omitempty"` // name of the bridge in its own namespace; default made from ID
	Options map[string]string `json:"options,omitempty"`
}

// Subnet is the addresses of one family.
type Subnet struct {
	Prefix  Prefix `json:"prefix"` // masked
	Gateway Addr   `json:"gateway"`
	// RangeFirst and RangeLast bound what is dealt out; default: all but the
	// gateway, the network's own and the broadcast address.
	RangeFirst Addr `json:"rangeFirst,omitzero"`
	RangeLast  Addr `json:"rangeLast,omitzero"`
}

// Subnet returns the network's addresses of one family; ok is false if it has
// none.
func (n Network) Subnet(v6 bool) (s Subnet, ok bool) { //nolint:revive // which of two
	for _, s := range n.Subnets {
		if s.Prefix.Is6() == v6 {
			return s, true
		}
	}
	return Subnet{}, false
}

// NetworkUse is a network that a container is in, and what it asked for there.
// Zero values are chosen when it starts.
type NetworkUse struct {
	Name      string   `json:"name"`
	IPv4      Addr     `json:"ipv4,omitzero"`
	IPv6      Addr     `json:"ipv6,omitzero"`
	MAC       MAC      `json:"mac,omitzero"`
	Aliases   []string `json:"aliases,omitempty"`   // further names that it is found by
	Interface string   `json:"interface,omitempty"` // default: eth and the use's place in the list
	MTU       int      `json:"mtu,omitempty"`       // bytes; 0: the network's
}

// Protocols of ports.
const (
	ProtoTCP = "tcp"
	ProtoUDP = "udp"
)

// Port is a port, or some in a row, of a container that the host listens for.
type Port struct {
	HostIP   Addr   `json:"hostIP,omitzero"`   // default: every address of both families
	HostPort uint16 `json:"hostPort,omitzero"` // 0: a free one, chosen at start
	// HostRange is how many ports there are from HostPort on of which a free one is
	// chosen at start, for one of the container; 0: HostPort alone.
	HostRange     uint16 `json:"hostRange,omitzero"`
	ContainerPort uint16 `json:"containerPort"`
	Range         uint16 `json:"range"` // how many in a row, at least 1
	Proto         string `json:"proto"` // ProtoTCP or ProtoUDP
}

// Loopback is what a container reaches of the host's own loopback, under the names
// of the host that it knows.
type Loopback struct {
	All   bool        `json:"all,omitempty"`
	Ports []PortRange `json:"ports,omitempty"` // these alone
}

// PortRange is the ports First to Last.
type PortRange struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
}

// IsZero reports whether nothing is reached.
func (l Loopback) IsZero() bool { return !l.All && len(l.Ports) == 0 }

// Has reports whether port is in reach.
func (l Loopback) Has(port uint16) bool {
	for _, r := range l.Ports {
		if r.First <= port && port <= r.Last {
			return true
		}
	}
	return l.All
}

// DNS says whom a container asks for names. What is not set is the network's or
// the host's.
type DNS struct {
	Servers []Addr   `json:"servers,omitempty"`
	Search  []string `json:"search,omitempty"` // "." alone: none
	Options []string `json:"options,omitempty"`
	None    bool     `json:"none,omitempty"` // the image's own resolv.conf
}

// IsZero reports whether nothing was asked.
func (d DNS) IsZero() bool {
	return len(d.Servers)+len(d.Search)+len(d.Options) == 0 && !d.None
}

// MAC is a hardware address; the zero value is none.
type MAC [6]byte

// errMAC is what UnmarshalText says.
var errMAC = errors.New("want a hardware address of a single device, as 02:42:ac:11:00:02")

func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// IsZero reports whether m is no address.
func (m MAC) IsZero() bool { return m == MAC{} }

// MarshalText is String.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText takes six pairs of hex digits with colons or hyphens between.
func (m *MAC) UnmarshalText(text []byte) error {
	if len(text) != 3*len(m)-1 {
		return errMAC
	}
	var out MAC
	for i := range out {
		hi, lo := hexDigit(text[3*i]), hexDigit(text[3*i+1])
		if hi < 0 || lo < 0 || i < len(m)-1 && text[3*i+2] != ':' && text[3*i+2] != '-' {
			return errMAC
		}
		out[i] = byte(hi<<4 | lo)
	}
	if out.IsZero() || out[0]&1 != 0 { // the group bit, IEEE 802, section 8.2
		return errMAC
	}
	*m = out
	return nil
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
