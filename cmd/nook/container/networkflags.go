package container

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/egress"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/problem"
)

// networkFlags are the flags about networks, as typed.
type networkFlags struct {
	networks, aliases          []string
	ip, ip6, mac               string
	publish, expose            []string
	dns, dnsSearch, dnsOptions []string
	loopback                   string
	egress                     []string
}

func (o *createFlags) addNetwork(f *pflag.FlagSet) {
	q := &o.net
	q.addUses(f)
	f.BoolVarP(&o.req.Spec.PublishAll, "publish-all", "P", false, "publish what is exposed, at ports that are free")
	f.StringArrayVar(&q.expose, "expose", nil, "port that the container listens on: PORT[-LAST][/tcp|/udp]")
	cmdutil.AddEgress(f, &q.egress)
	q.addDNS(f)
	f.SetNormalizeFunc(networkWords)
}

// allOfLoopback is --host-loopback without a value.
const allOfLoopback = "all"

// readLoopback reads --host-loopback.
func (q *networkFlags) readLoopback(s *spec.Container) error {
	if q.loopback == "" {
		return nil
	}
	if mode, _ := s.NetworkMode(); mode != spec.NetworkBridge {
		return fmt.Errorf("--host-loopback: does not go with --network %s", mode)
	}
	if q.loopback == allOfLoopback {
		s.HostLoopback.All = true
		return nil
	}
	for part := range strings.SplitSeq(q.loopback, ",") {
		ports, err := syntax.Expose(part)
		if err != nil || len(ports) != 1 || strings.Contains(part, "/") {
			return fmt.Errorf("--host-loopback %q: want PORT[-LAST] and commas between", q.loopback)
		}
		p := ports[0]
		s.HostLoopback.Ports = append(s.HostLoopback.Ports, spec.PortRange{First: p.ContainerPort, Last: p.ContainerPort + p.Range - 1})
	}
	return nil
}

// readEgress reads --egress.
func (q *networkFlags) readEgress(s *spec.Container) error {
	rules, err := egress.Parse(q.egress)
	if err != nil {
		return err
	}
	s.Egress = egress.Texts(rules)
	if mode, _ := s.NetworkMode(); rules != nil && mode != spec.NetworkBridge {
		return problem.Hint(fmt.Errorf("--egress: does not go with --network %s", mode), "give it to the network: run: nook network create --egress RULE,... NAME")
	}
	return nil
}

// addUses defines the flags about networks and ports that pods have too.
func (q *networkFlags) addUses(f *pflag.FlagSet) {
	f.StringArrayVar(&q.networks, "network", []string{network.DefaultMode}, "none, host, bridge, container:CONTAINER, ns:PATH, pasta[:OPTION,...], slirp4netns[:OPTION,...], or a `NETWORK`[:ip=,ip6=,mac=,alias=,interface_name=,mtu=]")
	f.StringArrayVar(&q.aliases, "network-alias", nil, "another name in all its networks")
	f.StringVar(&q.ip, "ip", "", "IPv4 address in its network")
	f.StringVar(&q.ip6, "ip6", "", "IPv6 address in its network")
	f.StringVar(&q.mac, "mac-address", "", "hardware address in its network")
	f.StringArrayVarP(&q.publish, "publish", "p", nil, "port of the host that leads to one of the container: [[ADDRESS:][HOSTPORT]:]PORT[/tcp|/udp], also FIRST-LAST; of a HOSTPORT range for one PORT the first that is free")
	f.StringVar(&q.loopback, "host-loopback", "", "let host.containers.internal reach what listens on the host's loopback: all of it, or `PORT[-LAST],...`")
	f.Lookup("host-loopback").NoOptDefVal = allOfLoopback
}

// addDNS defines the flags about name servers.
func (q *networkFlags) addDNS(f *pflag.FlagSet) {
	f.StringSliceVar(&q.dns, "dns", nil, "server to ask for names, or none for the image's own resolv.conf")
	f.StringSliceVar(&q.dnsSearch, "dns-search", nil, "domain to look up short names in; . for none")
	f.StringArrayVar(&q.dnsOptions, "dns-option", nil, "option for the container's resolver, as ndots:2")
}

// networkWords are the further names of flags.
func networkWords(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	switch name {
	case "net":
		name = "network"
	case "net-alias":
		name = "network-alias"
	case "dns-opt":
		name = "dns-option"
	}
	return pflag.NormalizedName(name)
}

// readNetwork turns the flags into what the request asks of networks.
func (o *createFlags) readNetwork(r *container.Request, h host) error {
	if err := o.readModes(&r.Spec); err != nil {
		return err
	}
	if err := o.net.readUses(&r.Spec); err != nil {
		return err
	}
	if err := o.net.readPorts(&r.Spec, h.notice); err != nil {
		return err
	}
	if err := o.net.readLoopback(&r.Spec); err != nil {
		return err
	}
	if err := o.net.readEgress(&r.Spec); err != nil {
		return err
	}
	return o.net.readDNS(&r.Spec)
}

func (o *createFlags) readModes(s *spec.Container) error {
	for _, text := range o.net.networks {
		arg, err := syntax.Network(text)
		if err != nil {
			return err
		}
		if len(o.net.networks) > 1 && arg.Mode != spec.NetworkBridge {
			return fmt.Errorf("--network %s: excludes other networks", text)
		}
		s.Network, s.NetworkOptions = arg.Mode, arg.Options
		if arg.Arg != "" {
			s.Network += ":" + arg.Arg
		}
		if arg.Mode != spec.NetworkBridge {
			return nil
		}
		if slices.ContainsFunc(s.Networks, func(u spec.NetworkUse) bool { return u.Name == arg.Use.Name }) {
			return fmt.Errorf("--network %s: given twice", arg.Use.Name)
		}
		if name := arg.Use.Interface; name != "" && slices.ContainsFunc(s.Networks, func(u spec.NetworkUse) bool { return u.Interface == name }) {
			return fmt.Errorf("--network %s: two interfaces cannot be called %s", text, name)
		}
		s.Networks = append(s.Networks, arg.Use)
	}
	return nil
}

// readUses reads the flags about one network or all of them.
func (q *networkFlags) readUses(s *spec.Container) error {
	one := map[string]string{"--ip": q.ip, "--ip6": q.ip6, "--mac-address": q.mac}
	for _, flag := range []string{"--ip", "--ip6", "--mac-address"} {
		switch {
		case one[flag] == "":
		case len(s.Networks) == 0:
			return needNetwork(flag, s)
		case len(s.Networks) > 1:
			return problem.Hint(fmt.Errorf("%s: there is more than one network", flag), "say it with the network: --network NAME:ip=...,mac=...")
		}
	}
	if len(q.aliases) > 0 && len(s.Networks) == 0 {
		return needNetwork("--network-alias", s)
	}
	var errs []error
	for _, a := range q.aliases {
		errs = append(errs, syntax.HostName(a))
	}
	for i := range s.Networks {
		s.Networks[i].Aliases = append(s.Networks[i].Aliases, q.aliases...)
	}
	var err error
	if q.ip != "" {
		s.Networks[0].IPv4, err = syntax.IPv4(q.ip)
		errs = append(errs, err)
	}
	if q.ip6 != "" {
		s.Networks[0].IPv6, err = syntax.IPv6(q.ip6)
		errs = append(errs, err)
	}
	if q.mac != "" {
		s.Networks[0].MAC, err = syntax.MAC(q.mac)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func needNetwork(flag string, s *spec.Container) error {
	mode, _ := s.NetworkMode()
	return problem.Hint(fmt.Errorf("%s: does not go with --network %s", flag, mode), "run: nook network create NAME; and add: --network NAME")
}

func (q *networkFlags) readPorts(s *spec.Container, notice func(string)) error {
	for _, text := range q.publish {
		ports, err := syntax.Publish(text)
		if err != nil {
			return err
		}
		s.Ports = append(s.Ports, ports...)
	}
	if a, b, clash := syntax.Clashes(s.Ports); clash {
		return fmt.Errorf("port %s: the host already listens there for %s", syntax.PortText(b), syntax.PortText(a))
	}
	for _, text := range q.expose {
		ports, err := syntax.Expose(text)
		if err != nil {
			return err
		}
		s.Expose = append(s.Expose, ports...)
	}
	if len(s.Ports) == 0 && !s.PublishAll {
		return nil
	}
	switch mode, _ := s.NetworkMode(); mode {
	case spec.NetworkHost: // as with podman and Docker: files of others have both
		notice("--publish: has no effect with --network host: the container's ports are the host's already")
		s.Ports, s.PublishAll = nil, false
	case spec.NetworkNone:
		return problem.Hint(errors.New("--publish: --network none has no way in"), "run: nook network create NAME; and add: --network NAME")
	case spec.NetworkContainer, spec.NetworkPath:
		return problem.Hint(fmt.Errorf("--publish: does not go with --network %s", s.Network), "publish the ports where that network is made")
	}
	return nil
}

func (q *networkFlags) readDNS(s *spec.Container) error {
	if mode, _ := s.NetworkMode(); mode == spec.NetworkContainer && len(q.dns)+len(q.dnsSearch)+len(q.dnsOptions) > 0 {
		return fmt.Errorf("--dns: does not go with --network %s, which has that container's", s.Network)
	}
	for _, text := range q.dns {
		if err := syntax.DNSServer(&s.DNS, text); err != nil {
			return err
		}
	}
	for _, text := range q.dnsSearch {
		if err := syntax.DNSSearch(text); err != nil {
			return err
		}
	}
	for _, text := range q.dnsOptions {
		if err := syntax.DNSOption(text); err != nil {
			return err
		}
	}
	s.DNS.Search, s.DNS.Options = q.dnsSearch, q.dnsOptions
	if s.DNS.None && len(s.DNS.Servers)+len(q.dnsSearch)+len(q.dnsOptions) > 0 {
		return errors.New("--dns none: excludes other servers, --dns-search and --dns-option")
	}
	return nil
}
