package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/libpod/syntax"
)

// live changes the networks of running containers.
func live(s network.Store) network.Live { return container.LiveNetworks{Store: s} }

type connectOptions struct {
	aliases      []string
	ip, ip6, mac string
}

func newConnect(f *cmdutil.Factory) *cobra.Command {
	o := &connectOptions{}
	cmd := &cobra.Command{
		Use:     "connect [flags] NETWORK CONTAINER",
		Short:   "Put a container into one more network",
		Long:    "Put a container into one more network. One that runs is in it at once.",
		Example: "  nook network connect --alias db back postgres",
		Args:    cmdutil.ExactArgs(2, "a network and a container"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := open(f)
			if err != nil {
				return err
			}
			n, err := lookup(s, args[0])
			if err != nil {
				return err
			}
			use, err := o.use(n.Name)
			if err != nil {
				return err
			}
			c, err := lookupContainer(f, args[1])
			if err != nil {
				return err
			}
			return s.Connect(cmd.Context(), c, use, live(s))
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&o.aliases, "alias", nil, "another name in the network")
	fl.StringVar(&o.ip, "ip", "", "IPv4 address in the network")
	fl.StringVar(&o.ip6, "ip6", "", "IPv6 address in the network")
	fl.StringVar(&o.mac, "mac-address", "", "hardware address in the network")
	return cmd
}

func (o *connectOptions) use(name string) (spec.NetworkUse, error) {
	u := spec.NetworkUse{Name: name, Aliases: o.aliases}
	for _, a := range o.aliases {
		if err := syntax.HostName(a); err != nil {
			return u, err
		}
	}
	var errs [3]error
	if o.ip != "" {
		u.IPv4, errs[0] = syntax.IPv4(o.ip)
	}
	if o.ip6 != "" {
		u.IPv6, errs[1] = syntax.IPv6(o.ip6)
	}
	if o.mac != "" {
		u.MAC, errs[2] = syntax.MAC(o.mac)
	}
	return u, errors.Join(errs[:]...)
}

func newDisconnect(f *cmdutil.Factory) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "disconnect [flags] NETWORK CONTAINER",
		Short:   "Take a container out of a network",
		Long:    "Take a container out of a network. One that runs is out of it at once.",
		Example: "  nook network disconnect back postgres",
		Args:    cmdutil.ExactArgs(2, "a network and a container"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := open(f)
			if err != nil {
				return err
			}
			n, err := lookup(s, args[0])
			if err != nil {
				return err
			}
			c, err := lookupContainer(f, args[1])
			if err != nil {
				return err
			}
			err = s.Disconnect(cmd.Context(), c, n.Name, live(s))
			if force && errors.Is(err, network.ErrNotConnected) {
				return nil
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "it is no error if the container is not in the network")
	return cmd
}

func newUpdate(f *cmdutil.Factory) *cobra.Command {
	var add, drop []string
	cmd := &cobra.Command{
		Use:     "update [flags] NETWORK",
		Short:   "Change the name servers of a network",
		Long:    "Change whom a network asks for names that are not its own, and print its name. Its\ncontainers need not be started again.",
		Example: "  nook network update --dns-add 9.9.9.9 --dns-drop 8.8.8.8 back",
		Args:    cmdutil.ExactArgs(1, "a network"),
		RunE: func(_ *cobra.Command, args []string) error {
			var more, less []netip.Addr
			if err := errors.Join(each(add, syntax.Address, &more), each(drop, syntax.Address, &less)); err != nil {
				return err
			}
			if len(more)+len(less) == 0 {
				return errors.New("network update: nothing to change; want --dns-add or --dns-drop")
			}
			s, err := open(f)
			if err != nil {
				return err
			}
			n, err := lookup(s, args[0])
			if err != nil {
				return err
			}
			_, err = s.Change(n.Name, func(n *spec.Network) error { return changeServers(n, ip.Texts(more), ip.Texts(less)) })
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(f.Out, n.Name)
			return err
		},
	}
	cmd.Flags().StringSliceVar(&add, "dns-add", nil, "server to ask too")
	cmd.Flags().StringSliceVar(&drop, "dns-drop", nil, "server not to ask any more")
	return cmd
}

func changeServers(n *spec.Network, add, drop []spec.Addr) error {
	if !n.DNS {
		return fmt.Errorf("network %s: was made with --disable-dns", n.Name)
	}
	for _, a := range drop {
		i := slices.Index(n.DNSServers, a)
		if i < 0 {
			return fmt.Errorf("network %s: has no name server %s", n.Name, a)
		}
		n.DNSServers = slices.Delete(n.DNSServers, i, i+1)
	}
	for _, a := range add {
		if !slices.Contains(n.DNSServers, a) {
			n.DNSServers = append(n.DNSServers, a)
		}
	}
	return nil
}

func newReload(f *cmdutil.Factory) *cobra.Command {
	var everyone, latest bool
	cmd := &cobra.Command{
		Use:   "reload [flags] CONTAINER...",
		Short: "Restore the networks of containers after a change of the firewall",
		Long: `Print the id of each container. Peers add firewall rules again that another program
removed; nook has none, so nothing can be lost and nothing is to be done.`,
		Example: "  nook network reload --all",
		RunE: func(_ *cobra.Command, args []string) error {
			if (everyone || latest) == (len(args) > 0) || everyone && latest {
				return errors.New("network reload: give containers, --all or --latest")
			}
			if len(args) > 0 {
				return reload(f, args)
			}
			st, err := f.State()
			if err != nil {
				return err
			}
			list, errs := st.List()
			if latest {
				list = list[max(0, len(list)-1):]
			}
			for _, c := range list {
				args = append(args, c.ID)
			}
			return errors.Join(append(errs, reload(f, args))...)
		},
	}
	cmd.Flags().BoolVarP(&everyone, "all", "a", false, "every container")
	cmd.Flags().BoolVarP(&latest, "latest", "l", false, "the container made last")
	return cmd
}

func reload(f *cmdutil.Factory, names []string) error {
	var errs []error
	for _, name := range names {
		c, err := lookupContainer(f, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintln(f.Out, c.ID)
	}
	return errors.Join(errs...)
}
