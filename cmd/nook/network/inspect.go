package network

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/libpod/state"
)

// Inspect is a network as inspect and ls show it, in podman's field names. Docker's
// are methods.
type Inspect struct {
	Name              string               `json:"name"`
	ID                string               `json:"id"`
	Driver            string               `json:"driver"`
	NetworkInterface  string               `json:"network_interface"`
	Created           time.Time            `json:"created"`
	Subnets           []Subnet             `json:"subnets"`
	IPv6Enabled       bool                 `json:"ipv6_enabled"`
	Internal          bool                 `json:"internal"`
	DNSEnabled        bool                 `json:"dns_enabled"`
	NetworkDNSServers []string             `json:"network_dns_servers,omitempty"`
	Egress            []string             `json:"egress,omitempty"` // where its containers may go outside; nil: anywhere
	Labels            map[string]string    `json:"labels"`
	Options           map[string]string    `json:"options"`
	IPAMOptions       map[string]string    `json:"ipam_options"`
	Containers        map[string]Container `json:"containers"` // by id, those that run

	users int // containers, running or not
}

// Subnet is one of a network's.
type Subnet struct {
	Subnet     string `json:"subnet"`
	Gateway    string `json:"gateway"`
	LeaseRange *Range `json:"lease_range,omitempty"`
}

// Range is what is dealt out of a subnet.
type Range struct {
	StartIP string `json:"start_ip"`
	EndIP   string `json:"end_ip"`
}

// Container is one that is in the network.
type Container struct {
	Name       string               `json:"name"`
	Interfaces map[string]Interface `json:"interfaces"`
}

// Interface is what a container has in the network.
type Interface struct {
	Subnets    []Address `json:"subnets"`
	MacAddress string    `json:"mac_address"`
}

// Address is one address with its gateway.
type Address struct {
	IPNet   string `json:"ipnet"`
	Gateway string `json:"gateway"`
}

// IPAM is Docker's view of the subnets.
type IPAM struct {
	Driver string
	Config []IPAMConfig
}

// IPAMConfig is one subnet of IPAM.
type IPAMConfig struct{ Subnet, IPRange, Gateway string }

// Id is ID, as templates written for Docker name it; so are the next.
//
//nolint:staticcheck // the field's name elsewhere
func (in *Inspect) Id() string { return in.ID }

// Scope is where the network is known.
func (*Inspect) Scope() string { return "local" }

// EnableIPv6 is IPv6Enabled.
func (in *Inspect) EnableIPv6() bool { return in.IPv6Enabled }

// IPAM is the subnets.
func (in *Inspect) IPAM() IPAM {
	out := IPAM{Driver: "default"}
	for _, s := range in.Subnets {
		c := IPAMConfig{Subnet: s.Subnet, Gateway: s.Gateway}
		if s.LeaseRange != nil {
			c.IPRange = s.LeaseRange.StartIP + "-" + s.LeaseRange.EndIP
		}
		out.Config = append(out.Config, c)
	}
	return out
}

// Routes are those beside the gateway's; there are none.
func (*Inspect) Routes() []string { return []string{} }

// describe shows n, which the containers users have in their records.
func describe(s network.Store, n spec.Network, users []*state.Container) (*Inspect, error) {
	in := &Inspect{
		Name: n.Name, ID: n.ID, Driver: n.Driver, NetworkInterface: n.Bridge, Created: n.Created, IPv6Enabled: n.IPv6, Internal: n.Internal,
		DNSEnabled: n.DNS, Egress: n.Egress, Labels: n.Labels, Options: n.Options, IPAMOptions: map[string]string{"driver": hostLocal},
		Containers: map[string]Container{}, users: len(users),
	}
	for _, m := range []*map[string]string{&in.Labels, &in.Options} {
		if *m == nil {
			*m = map[string]string{}
		}
	}
	for _, a := range n.DNSServers {
		in.NetworkDNSServers = append(in.NetworkDNSServers, string(a))
	}
	for _, sub := range n.Subnets {
		shown := Subnet{Subnet: string(sub.Prefix), Gateway: string(sub.Gateway)}
		if sub.RangeFirst != "" {
			shown.LeaseRange = &Range{string(sub.RangeFirst), string(sub.RangeLast)}
		}
		in.Subnets = append(in.Subnets, shown)
	}
	leases, err := s.Leases(n.Name)
	if err != nil {
		return nil, err
	}
	for _, l := range leases {
		for _, c := range users {
			if c.ID == l.Container {
				in.Containers[c.ID] = member(n, c, l)
			}
		}
	}
	return in, nil
}

func member(n spec.Network, c *state.Container, l network.Lease) Container {
	i := Interface{MacAddress: l.MAC.String(), Subnets: []Address{}}
	for _, sub := range n.Subnets {
		a := l.IPv4
		if sub.Prefix.Is6() {
			a = l.IPv6
		}
		if a.IsValid() {
			i.Subnets = append(i.Subnets, Address{fmt.Sprintf("%s/%d", a, ip.Prefix(sub.Prefix).Bits()), string(sub.Gateway)})
		}
	}
	return Container{Name: c.Name, Interfaces: map[string]Interface{network.Interface(c.Spec, n.Name): i}}
}

// Describe is what "network inspect" shows about one network.
func Describe(f *cmdutil.Factory, name string) (*Inspect, error) {
	s, err := open(f)
	if err != nil {
		return nil, err
	}
	n, err := lookup(s, name)
	if err != nil {
		return nil, err
	}
	users, err := s.Users()
	if err != nil {
		return nil, err
	}
	return describe(s, n, users[n.Name])
}

// all describes every network. A damaged one gives a notice.
func all(f *cmdutil.Factory) ([]*Inspect, error) {
	s, err := open(f)
	if err != nil {
		return nil, err
	}
	nets, errs := s.List()
	users, err := s.Users()
	for _, err := range append(errs, err) {
		if err != nil {
			f.Notice(err.Error())
		}
	}
	out := make([]*Inspect, 0, len(nets))
	for _, n := range nets {
		in, err := describe(s, n, users[n.Name])
		if err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, nil
}

func newInspect(f *cmdutil.Factory) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "inspect [flags] NETWORK...",
		Short:   "Show all about networks",
		Example: "  nook network inspect nook\n  nook network inspect --format '{{range .Subnets}}{{.Subnet}}{{end}}' back",
		Args:    cmdutil.MinArgs(1, "a network"),
		RunE: func(_ *cobra.Command, args []string) error {
			var found []*Inspect
			var errs []error
			for _, name := range args {
				in, err := Describe(f, name)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				found = append(found, in)
			}
			// What is there shows also when others are not.
			return errors.Join(cmdutil.RenderObjects(f.Out, format, found), errors.Join(errs...))
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "`json` or TEMPLATE")
	return cmd
}
