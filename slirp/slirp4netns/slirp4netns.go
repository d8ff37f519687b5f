// Package slirp4netns is the backend that runs slirp4netns(1), for hosts that are
// used to it.
//
// It serves one guest. Its gateway is the second address of the subnet, and the
// third answers DNS from the host's resolv.conf; it chooses the IPv6 subnet
// itself, so IPv6 is refused. Guests see every client of a published port as the
// gateway.
package slirp4netns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/internal/child"
)

// Backend runs the program Path, default "slirp4netns" in $PATH.
type Backend struct {
	Path string

	// RunDir is where the control socket is made, in a directory of its own. Default
	// os.TempDir().
	RunDir string
}

var _ slirp.Backend = Backend{}

// Name is "slirp4netns".
func (Backend) Name() string { return "slirp4netns" }

func (b Backend) path() string {
	if b.Path == "" {
		return "slirp4netns"
	}
	return b.Path
}

// Check looks for the program.
func (b Backend) Check() error {
	_, err := exec.LookPath(b.path())
	return problem.Hint(err, "install the package slirp4netns, or use the default network backend")
}

// Features of slirp4netns.
func (Backend) Features() slirp.Features { return slirp.Features{Publish: true, HalfClose: true} }

// Start runs slirp4netns and waits until it says that it is ready.
func (b Backend) Start(ctx context.Context, link slirp.Link, cfg slirp.Config) (_ slirp.Network, err error) {
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
	dir, err := os.MkdirTemp(b.RunDir, "slirp4netns-")
	if err != nil {
		return nil, err
	}
	n := &network{dir: dir, ctx: context.WithoutCancel(ctx)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	files := []*os.File{w, link.NetNS}
	if link.UserNS != nil {
		files = append(files, link.UserNS)
	}
	n.Process, err = child.Start(b.path(), args(link, cfg, n.socket()), files...)
	_ = w.Close()
	if err != nil {
		return nil, err
	}
	if err := n.await(ctx, r); err != nil {
		return nil, err
	}
	for _, p := range cfg.Ports {
		if _, err := n.Publish(ctx, p); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// unsupported reports everything in cfg that slirp4netns can't do.
func unsupported(cfg slirp.Config, link slirp.Link) error {
	var errs []error
	no := func(what string) { errs = append(errs, fmt.Errorf("slirp4netns: %s: %w", what, slirp.ErrFeature)) }
	if link.NetNS == nil {
		no("a link without network namespace")
	}
	if len(link.Guests) == 0 {
		no("guests without a known address")
	}
	if cfg.IPv6.Prefix.IsValid() {
		no("a given IPv6 subnet")
	}
	if p := cfg.IPv4.Prefix; p.IsValid() && cfg.IPv4.Gateway != p.Addr().Next().Next() {
		no("a gateway other than the second address, " + p.Addr().Next().Next().String())
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
	return errors.Join(errs...)
}

// args is the command line. Descriptor 3 takes the word that it is ready, 4 is
// the network namespace, 5 the user namespace.
func args(link slirp.Link, cfg slirp.Config, socket string) []string {
	args := []string{
		"--disable-host-loopback", "--disable-dns", "--mtu", strconv.Itoa(cfg.MTU), "--cidr", cfg.IPv4.Prefix.String(),
		"--api-socket", socket, "--ready-fd", "3", "--netns-type", "path",
	}
	if link.UserNS != nil {
		args = append(args, "--userns-path", "/proc/self/fd/5")
	}
	return append(args, "/proc/self/fd/4", link.Name)
}

// network is a running slirp4netns.
type network struct {
	*child.Process
	dir string
	ctx context.Context //nolint:containedctx // for Unpublish; call has a time limit of its own

	mu    sync.Mutex
	ports []published
}

type published struct {
	port slirp.Port
	id   int
}

func (n *network) socket() string { return filepath.Join(n.dir, "api.sock") }

func (n *network) api() API { return API{Socket: n.socket()} }

func (n *network) await(ctx context.Context, ready *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		<-n.Done() // it closed the pipe by ending
		return n.Err()
	}
	return nil
}

// Close ends the program and removes its socket.
func (n *network) Close() error {
	var err error
	if n.Process != nil {
		err = n.Process.Close()
	}
	return errors.Join(err, os.RemoveAll(n.dir))
}

// Publish asks slirp4netns for a port (slirp4netns(1), "API SOCKET").
func (n *network) Publish(ctx context.Context, p slirp.Port) (slirp.Port, error) {
	if err := p.Validate(); err != nil {
		return p, err
	}
	if p.Listener != nil || p.HostPort == 0 || p.HostIP.Is6() || !p.Guest[0].Is4() {
		return p, fmt.Errorf("slirp4netns: publish %s this way: %w", p, slirp.ErrFeature)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if slices.ContainsFunc(n.ports, func(o published) bool { return o.port.Same(p) }) {
		return p, fmt.Errorf("publish %s: %w", p, slirp.ErrPublished)
	}
	id, err := n.api().Add(ctx, p)
	if err != nil {
		return p, fmt.Errorf("publish %s: %w", p, err)
	}
	n.ports = append(n.ports, published{p, id})
	return p, nil
}

// Unpublish takes a port back.
func (n *network) Unpublish(p slirp.Port) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := slices.IndexFunc(n.ports, func(o published) bool { return o.port.Same(p) })
	if i < 0 {
		return fmt.Errorf("unpublish %s: %w", p, slirp.ErrNotPublished)
	}
	if err := n.api().Remove(n.ctx, n.ports[i].id); err != nil {
		return fmt.Errorf("unpublish %s: %w", p, err)
	}
	n.ports = slices.Delete(n.ports, i, i+1)
	return nil
}

// Ports lists what is published.
func (n *network) Ports() []slirp.Port {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []slirp.Port
	for _, p := range n.ports {
		all = append(all, p.port)
	}
	return all
}

// Stats has nothing to show.
func (n *network) Stats() slirp.Stats { return slirp.Stats{} }

// Calm does nothing: the program's memory is its own.
func (n *network) Calm() {}
