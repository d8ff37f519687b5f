// Package pasta is the backend that runs pasta(1): a translator from the TAP to
// sockets that copies the host's addresses instead of hiding them.
//
// It serves one guest, whose address Link.Guests gives. Ports are published when it
// starts and stay. What it has no notion of is refused: a DNS handler, an egress
// hook, aliases of the host.
package pasta

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/internal/child"
)

// Backend runs the program Path, default "pasta" in $PATH.
type Backend struct {
	Path string

	// Interface of the host to copy what is not configured from; default: the one
	// with the default route. Without any, pasta does not start.
	Interface string
}

var _ slirp.Backend = Backend{}

// Name is "pasta".
func (Backend) Name() string { return "pasta" }

func (b Backend) path() string {
	if b.Path == "" {
		return "pasta"
	}
	return b.Path
}

// Check looks for the program.
func (b Backend) Check() error {
	_, err := exec.LookPath(b.path())
	return problem.Hint(err, "install the package passt, or use the default network backend")
}

// Features of pasta. It lets guests reach the host's own addresses, and counts
// nothing. The release of March 2023, which Debian 12 has, sends data again and
// again to a guest that has ended its own direction.
func (Backend) Features() slirp.Features {
	return slirp.Features{IPv6: true, Ping: true, ClientSource: true}
}

// Start runs pasta and waits for its interface in link.NetNS.
func (b Backend) Start(ctx context.Context, link slirp.Link, cfg slirp.Config) (slirp.Network, error) {
	for _, f := range link.TAP {
		_ = f.Close()
	}
	cfg = cfg.WithDefaults()
	if err := errors.Join(cfg.Validate(), unsupported(cfg, link)); err != nil {
		return nil, err
	}
	if link.Name == "" {
		link.Name = "tap0"
	}
	sys.SkipDAD(link.NetNS)
	// Since 2024 pasta closes every descriptor above 2 that it inherits.
	proc, err := child.StartStd(b.path(), b.args(link, cfg), link.NetNS, link.UserNS)
	if err != nil {
		return nil, err
	}
	n := &network{Process: proc, ports: cfg.Ports}
	if err := n.await(ctx, link); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// unsupported reports everything in cfg that pasta can't do.
func unsupported(cfg slirp.Config, link slirp.Link) error {
	var errs []error
	no := func(what string) { errs = append(errs, fmt.Errorf("pasta: %s: %w", what, slirp.ErrFeature)) }
	if link.NetNS == nil {
		no("a link without network namespace")
	}
	if len(link.Guests) == 0 {
		no("guests without a known address")
	}
	if cfg.DNS != nil {
		no("a DNS handler")
	}
	if cfg.Egress != nil {
		no("an egress policy")
	}
	if len(cfg.Host.Aliases) > 0 || cfg.Host.AliasOf != nil {
		no("aliases of the host")
	}
	if !cfg.Host.Addrs {
		no("keeping the host's addresses out of reach")
	}
	for _, p := range cfg.Ports {
		if p.Listener != nil || p.HostPort == 0 || p.Source == slirp.SourceGateway {
			no("publishing " + p.String() + " this way")
		}
	}
	return errors.Join(errs...)
}

// args is the command line. Descriptor 3 is the network namespace, 4 the user
// namespace.
func (b Backend) args(link slirp.Link, cfg slirp.Config) []string {
	args := []string{
		"--foreground", "--quiet", "--stderr", "--ns-ifname", link.Name, "--mtu", strconv.Itoa(cfg.MTU),
		"--tcp-ns", "none", "--udp-ns", "none", "--no-map-gw", "--no-dhcp", "--no-dhcpv6", "--no-ra",
	}
	if b.Interface != "" {
		args = append(args, "--interface", b.Interface)
	}
	for _, g := range link.Guests {
		args = append(args, "--address", g.String())
	}
	for _, s := range cfg.Subnets() {
		args = append(args, "--gateway", s.Gateway.String())
		if s.Gateway.Is4() {
			args = append(args, "--netmask", strconv.Itoa(s.Prefix.Bits()))
		}
	}
	if !cfg.IPv6.Prefix.IsValid() {
		args = append(args, "--ipv4-only")
	}
	if !cfg.IPv4.Prefix.IsValid() {
		args = append(args, "--ipv6-only")
	}
	args = append(args, portArgs(cfg.Ports)...)
	if link.UserNS != nil {
		args = append(args, "--userns", "/proc/self/fd/1")
	} else {
		args = append(args, "--netns-only")
	}
	return append(args, "--netns", "/proc/self/fd/0")
}

// portArgs spells published ports: pasta(1), -t and -u.
func portArgs(ports []slirp.Port) []string {
	args := []string{}
	have := map[slirp.Proto]bool{}
	for _, p := range ports {
		spec := fmt.Sprintf("%d:%d", p.HostPort, p.GuestPort)
		if p.HostIP.IsValid() {
			spec = p.HostIP.String() + "/" + spec
		}
		args = append(args, option(p.Proto), spec)
		have[p.Proto] = true
	}
	for _, proto := range []slirp.Proto{slirp.TCP, slirp.UDP} {
		if !have[proto] {
			args = append(args, option(proto), "none")
		}
	}
	return args
}

func option(p slirp.Proto) string {
	if p == slirp.TCP {
		return "--tcp-ports"
	}
	return "--udp-ports"
}

// network is a running pasta.
type network struct {
	*child.Process
	ports []slirp.Port
}

// await waits until the interface exists. From then on the kernel keeps frames
// for pasta.
func (n *network) await(ctx context.Context, link slirp.Link) error {
	t := time.NewTicker(2 * time.Millisecond)
	defer t.Stop()
	for {
		err := sys.InNetNS(link.NetNS, func() error {
			nl, err := inet.OpenNetlink()
			if err != nil {
				return err
			}
			defer nl.Close()
			_, err = nl.LinkIndex(link.Name)
			return err
		})
		if err == nil || !errors.Is(err, syscall.ENODEV) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-t.C:
		case <-n.Done():
			return n.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Publish is refused: pasta takes ports when it starts.
func (n *network) Publish(_ context.Context, p slirp.Port) (slirp.Port, error) {
	return p, fmt.Errorf("pasta: publish %s while it runs: %w", p, slirp.ErrFeature)
}

// Unpublish is refused likewise.
func (n *network) Unpublish(p slirp.Port) error {
	return fmt.Errorf("pasta: unpublish %s while it runs: %w", p, slirp.ErrFeature)
}

// Ports lists what was published at the start.
func (n *network) Ports() []slirp.Port { return n.ports }

// Stats has nothing to show.
func (n *network) Stats() slirp.Stats { return slirp.Stats{} }

// Calm does nothing: the program's memory is its own.
func (n *network) Calm() {}
