package network

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/egress"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/problem"
)

type createOptions struct {
	driver, ipamDriver, bridge    string
	subnets, gateways, ranges     []string
	labels, opts, dns, egress     []string
	internal, ipv6, noDNS, ignore bool
}

func newCreate(f *cmdutil.Factory) *cobra.Command {
	o := &createOptions{}
	cmd := &cobra.Command{
		Use:   "create [flags] [NAME]",
		Short: "Make a network",
		Long: `Make a network and print its name, which is made up if none is given. Containers
in it find each other by name; those of other networks are out of reach.

Without --subnet the addresses are some that neither other networks nor the host
have. Options (-o KEY=VALUE) are mtu, isolate, no_default_route and Docker's
com.docker.network.driver.mtu, com.docker.network.bridge.name, .enable_icc and
.host_binding_ipv4.

--egress says where the containers may go outside of the network: none, or NAME,
*.DOMAIN, ADDRESS or ADDRESS/BITS, each with :PORT or :FIRST-LAST behind it or not. A
container that has rules of its own goes where both allow it. Names are checked by the
network's resolver, which finds no others; what a connection says inside is not looked
at. Containers of the network reach each other in any case. What was refused:
nook events --stream=false --filter event=egress-refused`,
		Example: "  nook network create back\n  nook network create --subnet 10.90.0.0/24 --gateway 10.90.0.254 --ipv6 back",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := o.request(args)
			if err != nil {
				return err
			}
			return o.create(f, r)
		},
	}
	fl := cmd.Flags()
	fl.StringVarP(&o.driver, "driver", "d", spec.BridgeDriver, "driver; there is only bridge")
	fl.StringArrayVar(&o.subnets, "subnet", nil, "addresses, as 10.90.0.0/24; once for each family")
	fl.StringArrayVar(&o.gateways, "gateway", nil, "address of the gateway (default: the first of the subnet)")
	fl.StringArrayVar(&o.ranges, "ip-range", nil, "what to deal out of the subnet: a smaller one, or FIRST-LAST")
	fl.BoolVar(&o.internal, "internal", false, "without a way out")
	fl.BoolVar(&o.ipv6, "ipv6", false, "IPv6 too")
	fl.StringArrayVar(&o.labels, "label", nil, "label: KEY[=VALUE]")
	fl.StringArrayVarP(&o.opts, "opt", "o", nil, "option: KEY=VALUE")
	fl.BoolVar(&o.noDNS, "disable-dns", false, "containers do not find each other by name")
	fl.StringSliceVar(&o.dns, "dns", nil, "server to ask for names of others (default: the host's)")
	cmdutil.AddEgress(fl, &o.egress)
	fl.BoolVar(&o.ignore, "ignore", false, "it is no error if the network is there already")
	fl.StringVar(&o.bridge, "interface-name", "", "name of the bridge in its own namespace")
	fl.StringVar(&o.ipamDriver, "ipam-driver", hostLocal, "who deals out addresses; there is only host-local")
	return cmd
}

// hostLocal is what peers call dealing out addresses without asking others.
const hostLocal = "host-local"

func (o *createOptions) request(args []string) (network.Request, error) {
	r := network.Request{Driver: o.driver, Internal: o.internal, IPv6: o.ipv6, NoDNS: o.noDNS, Bridge: o.bridge, Labels: map[string]string{}}
	if len(args) == 1 {
		r.Name = args[0]
	} else {
		r.Name = "net-" + container.NewID()[:8]
	}
	if o.ipamDriver != hostLocal && o.ipamDriver != "default" {
		return r, problem.Hint(fmt.Errorf("--ipam-driver %q: there is only %s", o.ipamDriver, hostLocal), "leave --ipam-driver out")
	}
	if o.bridge != "" {
		if err := syntax.InterfaceName(o.bridge); err != nil {
			return r, err
		}
	}
	rules, err := egress.Parse(o.egress)
	if err != nil {
		return r, err
	}
	r.Egress = egress.Texts(rules)
	for _, l := range o.labels {
		key, value, err := syntax.Label(l)
		if err != nil {
			return r, err
		}
		r.Labels[key] = value
	}
	for _, text := range o.opts {
		if err := syntax.NetworkOption(&r.Options, text); err != nil {
			return r, err
		}
	}
	return r, errors.Join(
		each(o.subnets, syntax.Subnet, &r.Subnets),
		each(o.gateways, syntax.Address, &r.Gateways),
		each(o.ranges, syntax.IPRange, &r.Ranges),
		each(o.dns, syntax.Address, &r.DNSServers),
	)
}

// each reads texts into to.
func each[T any](texts []string, read func(string) (T, error), to *[]T) error {
	for _, text := range texts {
		v, err := read(text)
		if err != nil {
			return err
		}
		*to = append(*to, v)
	}
	return nil
}

func (o *createOptions) create(f *cmdutil.Factory, r network.Request) error {
	if (len(r.Gateways) > 0 || len(r.Ranges) > 0) && len(r.Subnets) == 0 {
		return problem.Hint(errors.New("--gateway and --ip-range are parts of a subnet"), "add: --subnet ADDRESS/BITS")
	}
	s, err := open(f)
	if err != nil {
		return err
	}
	has, err := taken()
	if err != nil {
		return err
	}
	_, err = s.Create(r, has)
	if err != nil && (!o.ignore || !errors.Is(err, network.ErrExists)) {
		return err
	}
	_, err = fmt.Fprintln(f.Out, r.Name)
	return err
}
