package network

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/libpod/state"
)

// namesOf are the names that c is found by in a network.
func namesOf(c *state.Container, use spec.NetworkUse) []string {
	var names []string
	for _, n := range slices.Concat([]string{c.Name}, use.Aliases, []string{c.Spec.Hostname, c.Short()}) {
		if n = strings.ToLower(n); n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// Renamed gives the leases of c its present names.
func (s Store) Renamed(ctx context.Context, c *state.Container) error {
	var errs []error
	for _, use := range c.Spec.Networks {
		if _, ok, err := s.LeaseOf(use.Name, c.ID); err != nil || !ok {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, s.changeLeases(ctx, use.Name, func(l *leases) error {
			for i := range l.Leases {
				if l.Leases[i].Container == c.ID {
					l.Leases[i].Names = namesOf(c, use)
				}
			}
			return nil
		}))
	}
	return errors.Join(errs...)
}

// Directory answers who has which name, for the guests of one network: it is a
// dns.Members. A guest that is in several networks knows the members of all of
// them, and of no other. Nobody tells the directory anything: it reads the leases,
// again when their file is another.
type Directory struct {
	store Store
	name  string

	mu    sync.Mutex
	files map[string]leaseCache
}

type leaseCache struct {
	info   os.FileInfo
	leases []Lease
}

// Directory returns the names in a network.
func (s Store) Directory(name string) *Directory {
	return &Directory{store: s, name: name, files: map[string]leaseCache{}}
}

// Lookup returns the addresses of the running containers of that name. ok is true
// also for the name of a container that does not run now.
func (d *Directory) Lookup(guest netip.Addr, name string) (addrs []netip.Addr, ok bool) {
	for _, network := range d.of(guest) {
		for _, l := range d.leases(network) {
			if !slices.Contains(l.Names, name) || !d.live(l) {
				continue
			}
			for _, a := range []netip.Addr{l.IPv4, l.IPv6} {
				if a.IsValid() {
					addrs = append(addrs, a)
				}
			}
		}
	}
	return addrs, len(addrs) > 0 || d.store.resting(name)
}

// resting reports whether a container of that name is in some network.
func (s Store) resting(name string) bool {
	c, err := s.containers.Lookup(name)
	return err == nil && c.Name == name && len(c.Spec.Networks) > 0
}

// Reverse returns the names of the container that has an address.
func (d *Directory) Reverse(guest, addr netip.Addr) []string {
	for _, network := range d.of(guest) {
		for _, l := range d.leases(network) {
			if (l.IPv4 == addr || l.IPv6 == addr) && d.live(l) {
				return l.Names
			}
		}
	}
	return nil
}

// Servers are those that the guest asked for, or that the network is set to ask now.
func (d *Directory) Servers(guest netip.Addr) []netip.Addr {
	if l, _ := find(d.leases(d.name), guest); len(l.Servers) > 0 {
		return l.Servers
	}
	n, err := d.store.Get(d.name)
	if err != nil {
		return nil
	}
	return ip.Addrs(n.DNSServers)
}

// of lists the networks that a guest is in, this one first.
func (d *Directory) of(guest netip.Addr) []string {
	networks := []string{d.name}
	me, ok := find(d.leases(d.name), guest)
	if !ok {
		return networks
	}
	entries, err := os.ReadDir(d.store.Run)
	if err != nil {
		return networks
	}
	for _, e := range entries {
		if e.Name() != d.name && slices.ContainsFunc(d.leases(e.Name()), func(l Lease) bool { return l.Container == me.Container }) {
			networks = append(networks, e.Name())
		}
	}
	return networks
}

func find(leases []Lease, a netip.Addr) (Lease, bool) {
	i := slices.IndexFunc(leases, func(l Lease) bool { return l.IPv4 == a || l.IPv6 == a })
	if i < 0 {
		return Lease{}, false
	}
	return leases[i], true
}

// live reports whether the lease's container runs. Where that cannot be told it is
// taken to: a wrong address is refused, a missing one is a riddle.
func (d *Directory) live(l Lease) bool {
	watched, err := d.store.watched(l.Container)
	return watched || err != nil
}

// leases are those in a network's file now.
func (d *Directory) leases(network string) []Lease {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := os.Stat(filepath.Join(d.store.RunDir(network), leaseFile))
	if errors.Is(err, fs.ErrNotExist) {
		delete(d.files, network)
		return nil
	}
	had, ok := d.files[network]
	// The file is replaced, never changed.
	if ok && (err != nil || os.SameFile(info, had.info) && info.ModTime().Equal(had.info.ModTime())) {
		return had.leases
	}
	l, err := d.store.readLeases(network)
	if err != nil {
		return had.leases
	}
	d.files[network] = leaseCache{info, l.Leases}
	return l.Leases
}
