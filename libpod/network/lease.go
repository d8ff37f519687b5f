package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/statefile"
	"github.com/nook-containers/nook/pkg/sys"
)

// Lease is what a container has in a network while it runs.
type Lease struct {
	Container string     `json:"container"` // id
	IPv4      netip.Addr `json:"ipv4,omitzero"`
	IPv6      netip.Addr `json:"ipv6,omitzero"`
	MAC       spec.MAC   `json:"mac"`
	// Names are what the container is found by, the best first: its own, what it
	// asked to be called, its host name, its short id. In lower case.
	Names []string `json:"names,omitempty"`
	// Servers are whom it wants asked for other names.
	Servers []netip.Addr `json:"servers,omitempty"`
}

// leases is the file of a network's leases, in the order they were dealt out.
type leases struct {
	Version int        `json:"version"`
	Leases  []Lease    `json:"leases"`
	Last4   netip.Addr `json:"last4,omitzero"` // that nobody asked for
	Last6   netip.Addr `json:"last6,omitzero"`
}

const (
	leaseFile    = "leases.json"
	leaseLock    = "leases.lock"
	staticSuffix = ".static"
)

// Acquire leases addresses of the network n to a container that this process looks
// after (state.Container.Hold). A container that has a lease already gets the same
// again, if it fits use still. Errors are ErrAddressInUse and ErrNoAddress.
func (s Store) Acquire(ctx context.Context, n spec.Network, use spec.NetworkUse, id string) (Lease, error) {
	var got Lease
	if err := CheckUse(n, use); err != nil {
		return got, err
	}
	static, err := s.static(n.Name)
	if err != nil {
		return got, err
	}
	mine := Lease{Container: id}
	c, err := s.containers.Get(id)
	if err == nil {
		mine.Names, mine.Servers = namesOf(c, use), ip.Addrs(c.Spec.DNS.Servers)
	} else if !errors.Is(err, state.ErrNotFound) {
		return got, err
	}
	err = s.changeLeases(ctx, n.Name, func(l *leases) error {
		d := dealer{net: n, use: use, id: id, leases: l, static: static, watched: s.watched}
		got, err = d.deal(mine)
		if err == nil && len(l.Leases)%sweepEvery == 0 {
			l.Leases = slices.DeleteFunc(l.Leases, s.gone)
		}
		return err
	})
	if err != nil {
		return Lease{}, fmt.Errorf("network %s: %w", n.Name, err)
	}
	return got, nil
}

// sweepEvery is how many leases are added to a file before those of containers that
// are no more are dropped: every start reads and writes it whole.
const sweepEvery = 16

// gone reports whether nobody will ask for the lease again. A container that ended
// has the same address when it is started again.
func (s Store) gone(l Lease) bool {
	if s.containers.Exists(l.Container) {
		return false
	}
	watched, err := s.watched(l.Container)
	return !watched && err == nil
}

// Release gives a container's lease back. What ended without it costs nothing but
// a line in a file.
func (s Store) Release(ctx context.Context, name, id string) error {
	return s.changeLeases(ctx, name, func(l *leases) error {
		l.Leases = slices.DeleteFunc(l.Leases, func(x Lease) bool { return x.Container == id })
		return nil
	})
}

// Leases lists the leases of running containers.
func (s Store) Leases(name string) ([]Lease, error) {
	l, err := s.readLeases(name)
	if err != nil {
		return nil, err
	}
	var live []Lease
	for _, x := range l.Leases {
		watched, err := s.watched(x.Container)
		if err != nil {
			return nil, err
		}
		if watched {
			live = append(live, x)
		}
	}
	return live, nil
}

// LeaseOf finds the lease of one container; ok is false if it never had one in this
// boot, or gave it back. Whether it runs the caller knows.
func (s Store) LeaseOf(name, id string) (l Lease, ok bool, err error) {
	all, err := s.readLeases(name)
	i := slices.IndexFunc(all.Leases, func(x Lease) bool { return x.Container == id })
	if i < 0 || err != nil {
		return Lease{}, false, err
	}
	return all.Leases[i], true, nil
}

func (s Store) readLeases(name string) (leases, error) {
	var l leases
	err := statefile.Read(filepath.Join(s.RunDir(name), leaseFile), &l)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	return l, err
}

// changeLeases has f change the leases, one process at a time. It is quick, so ctx
// is only looked at.
func (s Store) changeLeases(ctx context.Context, name string, f func(*leases) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	dir := s.RunDir(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("lease address: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, leaseLock), os.O_CREATE|os.O_RDWR, lockNew)
	if err != nil {
		return fmt.Errorf("lease address: %w", err)
	}
	defer lock.Close()
	if err := sys.Lock(lock); err != nil {
		return err
	}
	l, err := s.readLeases(name)
	if err != nil {
		return err
	}
	if err := f(&l); err != nil {
		return err
	}
	l.Version = spec.Version
	return statefile.WriteVolatile(filepath.Join(dir, leaseFile), l)
}

// CheckUse finds what a container can't have in n.
func CheckUse(n spec.Network, use spec.NetworkUse) error {
	for _, want := range []struct {
		family string
		v6     bool
		text   spec.Addr
	}{{"IPv4", false, use.IPv4}, {"IPv6", true, use.IPv6}} {
		if want.text == "" {
			continue
		}
		a, err := ip.ParseAddr(want.text)
		if err != nil {
			return fmt.Errorf("network %s: %w", n.Name, err)
		}
		s, ok := ip.SubnetOf(n, want.v6)
		switch {
		case !ok:
			return fmt.Errorf("network %s: has no %s subnet for %s", n.Name, want.family, a)
		case !s.Prefix.Contains(a):
			return problem.Hint(fmt.Errorf("network %s: address %s is not in %s", n.Name, a, s.Prefix), "choose one of %s", s.Prefix)
		case !usable(s.Prefix, a):
			return fmt.Errorf("network %s: address %s is not for a host in %s", n.Name, a, s.Prefix)
		case a == s.Gateway:
			return fmt.Errorf("network %s: %s: %w by the gateway", n.Name, a, ErrAddressInUse)
		}
	}
	return nil
}

// dealer finds addresses for one container.
type dealer struct {
	net     spec.Network
	use     spec.NetworkUse
	id      string
	leases  *leases
	static  map[string][]string // addresses and the ids of the containers that asked for them
	watched func(id string) (bool, error)
	err     error // of watched
}

func (d *dealer) deal(mine Lease) (Lease, error) {
	var before Lease
	if i := slices.IndexFunc(d.leases.Leases, func(x Lease) bool { return x.Container == d.id }); i >= 0 {
		before = d.leases.Leases[i]
		d.leases.Leases = slices.Delete(d.leases.Leases, i, i+1)
	}
	for _, f := range []struct {
		v6        bool
		want, had netip.Addr
		to, last  *netip.Addr
	}{
		{false, ip.Addr(d.use.IPv4), before.IPv4, &mine.IPv4, &d.leases.Last4},
		{true, ip.Addr(d.use.IPv6), before.IPv6, &mine.IPv6, &d.leases.Last6},
	} {
		s, ok := ip.SubnetOf(d.net, f.v6)
		if !ok {
			continue
		}
		var err error
		switch {
		case f.want.IsValid():
			*f.to, err = f.want, d.claim(f.want)
		case f.had.IsValid() && s.Prefix.Contains(f.had) && f.had != s.Gateway && d.free(f.had):
			*f.to = f.had
		default:
			*f.to, err = d.next(s, *f.last)
			*f.last = *f.to
		}
		if err = errors.Join(err, d.err); err != nil {
			return mine, err
		}
	}
	var err error
	if mine.MAC, err = d.mac(mine); err != nil {
		return mine, err
	}
	d.leases.Leases = append(d.leases.Leases, mine)
	return mine, nil
}

func (d *dealer) next(s ip.Subnet, before netip.Addr) (netip.Addr, error) {
	a, ok := next(s, before, d.free)
	if !ok && d.err == nil {
		lo, hi := bounds(s)
		return a, problem.Hint(fmt.Errorf("%w: all of %s to %s are in use", ErrNoAddress, lo, hi), "run: nook ps --filter network=%s", d.net.Name)
	}
	return a, nil
}

// claim takes an address that was asked for.
func (d *dealer) claim(a netip.Addr) error {
	i := d.leased(func(l Lease) bool { return l.IPv4 == a || l.IPv6 == a })
	if i < 0 {
		return nil
	}
	holder := d.leases.Leases[i].Container
	return problem.Hint(fmt.Errorf("%s: %w by container %s", a, ErrAddressInUse, short(holder)), "run: nook stop %s", short(holder))
}

// free reports whether an address can be dealt out to who did not ask for it.
func (d *dealer) free(a netip.Addr) bool {
	if ids := d.static[a.String()]; len(ids) > 0 && !slices.Contains(ids, d.id) {
		return false
	}
	return d.err == nil && d.leased(func(l Lease) bool { return l.IPv4 == a || l.IPv6 == a }) < 0 && d.err == nil
}

// leased finds a lease of a running container; those of others that match are
// dropped on the way.
func (d *dealer) leased(match func(Lease) bool) int {
	for {
		i := slices.IndexFunc(d.leases.Leases, match)
		if i < 0 {
			return -1
		}
		watched, err := d.watched(d.leases.Leases[i].Container)
		if err != nil {
			d.err = err
			return i
		}
		if watched {
			return i
		}
		d.leases.Leases = slices.Delete(d.leases.Leases, i, i+1)
	}
}

// mac is the hardware address for a lease.
func (d *dealer) mac(l Lease) (spec.MAC, error) {
	taken := func(m spec.MAC) int { return d.leased(func(x Lease) bool { return x.MAC == m }) }
	if m := d.use.MAC; !m.IsZero() {
		if i := taken(m); i >= 0 {
			return m, errors.Join(d.err, fmt.Errorf("hardware address %s: %w by container %s", m, ErrAddressInUse, short(d.leases.Leases[i].Container)))
		}
		return m, nil
	}
	a := l.IPv4
	if !a.IsValid() {
		a = l.IPv6
	}
	m := macOf(a)
	for taken(m) >= 0 && d.err == nil { // somebody asked for just this one
		m[1]++
	}
	return m, d.err
}

func short(id string) string { return id[:min(12, len(id))] }

// Static is the file of addresses that were asked for.
type staticFile struct {
	Version   int                 `json:"version"`
	Addresses map[string][]string `json:"addresses"` // and the ids of the containers
}

func (s Store) staticPath(name string) string { return filepath.Join(s.Dir, name+staticSuffix) }

func (s Store) static(name string) (map[string][]string, error) {
	var f staticFile
	err := statefile.Read(s.staticPath(name), &f)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	s.dropGone(&f)
	return f.Addresses, err
}

// dropGone drops the addresses of containers that are no more.
func (s Store) dropGone(f *staticFile) {
	maps.DeleteFunc(f.Addresses, func(a string, ids []string) bool {
		f.Addresses[a] = slices.DeleteFunc(ids, func(id string) bool { return !s.containers.Exists(id) })
		return len(f.Addresses[a]) == 0
	})
}

// Reserve keeps the addresses that a container asked for from being dealt out to
// others as long as it exists.
func (s Store) Reserve(use spec.NetworkUse, id string) error {
	var want []string
	for _, a := range []spec.Addr{use.IPv4, use.IPv6} {
		if a != "" {
			want = append(want, string(a))
		}
	}
	if len(want) == 0 {
		return nil
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("reserve address: %w", err)
	}
	err := statefile.Update(s.staticPath(use.Name), func(f *staticFile) error {
		f.Version = spec.Version
		if f.Addresses == nil {
			f.Addresses = map[string][]string{}
		}
		s.dropGone(f)
		for _, a := range want {
			if !slices.Contains(f.Addresses[a], id) {
				f.Addresses[a] = append(f.Addresses[a], id)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reserve address %s: %w", strings.Join(want, ", "), err)
	}
	return nil
}

// removeStatic removes what Reserve wrote about a network that is no more.
func (s Store) removeStatic(name string) error {
	var errs []error
	for _, path := range []string{s.staticPath(name), s.staticPath(name) + ".lock"} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
