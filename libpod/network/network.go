// Package network keeps networks of containers, and deals out their addresses.
//
// # Theory of operation
//
// A network is one file, DIR/NAME.json, which appears and is replaced whole.
// Those who make one take DIR/.lock, so that two of them never choose the same
// addresses. The network spec.DefaultNetwork is there without a file, which it
// gets only when something about it is changed.
//
// Which containers are in a network is not written down here: their records say
// it, and Remove asks them. A container in the making has no record yet: its maker
// holds a shared flock(2) on the network's file (Hold), and Remove wants an
// exclusive one.
//
// Addresses are leased to containers when they start. The leases are in
// RUN/NAME/leases.json, which is changed under the flock of a file beside it and
// lost with the boot. A lease counts as long as a process looks after its container
// (state.Store.Watched): it needs no end, so none can be missed, and what a killed
// process had is free at once. An address that a container asked for is kept
// for it while it does not run: it is listed in DIR/NAME.static, and dealt out to
// nobody who did not ask for it too.
//
// No host is asked for anything: what it has is given to Plan as a list (pkg/hostnet).
package network

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/statefile"
	"github.com/nook-containers/nook/pkg/sys"
)

// Errors to match with errors.Is.
var (
	ErrNotFound  = errors.New("no such network")
	ErrAmbiguous = errors.New("more than one network has this id prefix")
	ErrExists    = errors.New("network already exists")
	ErrInUse     = errors.New("network is in use")
	// ErrOverlap means that a subnet has addresses of something else.
	ErrOverlap = errors.New("overlaps")
	// ErrAddressInUse means that another running container has the address.
	ErrAddressInUse = errors.New("address is in use")
	// ErrNoAddress means that all of a network's addresses are dealt out.
	ErrNoAddress = errors.New("no free address")
)

const (
	suffix   = ".json"
	lockFile = ".lock"
	lockNew  = 0o600
	subdir   = "networks"
)

// Store is the networks that belong to a store of containers.
type Store struct {
	Dir        string // of the networks' files
	Run        string // this boot's
	containers state.Store
	watched    func(id string) (bool, error) // state.Store.Watched
}

// Of returns the networks that belong to a store of containers.
func Of(s state.Store) Store {
	return Store{Dir: filepath.Join(s.Dir, subdir), Run: filepath.Join(s.Run, subdir+s.Realm), containers: s, watched: s.Watched}
}

// RunDir is the directory of a network for this boot. It need not exist.
func (s Store) RunDir(name string) string { return filepath.Join(s.Run, name) }

func (s Store) path(name string) string { return filepath.Join(s.Dir, name+suffix) }

// ID is the id of the network of that name, as podman makes it: since names are
// unique, so is their hash.
func ID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// Get finds a network by its name.
func (s Store) Get(name string) (spec.Network, error) {
	var n spec.Network
	if syntax.Name(name) != nil {
		return n, fmt.Errorf("network %s: %w", name, ErrNotFound)
	}
	err := statefile.Read(s.path(name), &n)
	if errors.Is(err, fs.ErrNotExist) {
		if name == spec.DefaultNetwork {
			return builtin(), nil
		}
		return n, fmt.Errorf("network %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return n, fmt.Errorf("network %s: %w", name, err)
	}
	if err := Validate(n); err != nil {
		return n, fmt.Errorf("state %s is damaged: %w", s.path(name), err)
	}
	return n, nil
}

// Lookup finds a network by its name, its id, or the beginning of its id. A name
// beats an id.
func (s Store) Lookup(nameOrID string) (spec.Network, error) {
	n, err := s.Get(nameOrID)
	if !errors.Is(err, ErrNotFound) || strings.Trim(nameOrID, "0123456789abcdef") != "" || nameOrID == "" {
		return n, err
	}
	names, lerr := s.names()
	if lerr != nil {
		return n, lerr
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(ID(name), nameOrID) })
	switch len(names) {
	case 0:
		return n, err
	case 1:
		return s.Get(names[0])
	}
	return n, fmt.Errorf("network %s: %w", nameOrID, ErrAmbiguous)
}

// names lists every network, the default one first.
func (s Store) names() ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	names := []string{spec.DefaultNetwork}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if ok && name != spec.DefaultNetwork && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	return names, nil
}

// List returns every network, the default one first and the others by name, and
// beside them one error for each that cannot be read.
func (s Store) List() ([]spec.Network, []error) {
	names, err := s.names()
	if err != nil {
		return nil, []error{err}
	}
	var all []spec.Network
	var errs []error
	for _, name := range names {
		n, err := s.Get(name)
		switch {
		case errors.Is(err, ErrNotFound): // removed meanwhile
		case err != nil:
			errs = append(errs, err)
		default:
			all = append(all, n)
		}
	}
	return all, errs
}

// Create makes a network as r asks for. taken is what the host has.
func (s Store) Create(r Request, taken []Taken) (spec.Network, error) {
	var n spec.Network
	release, err := s.lock()
	if err != nil {
		return n, err
	}
	defer release()
	if _, err := s.Get(r.Name); err == nil {
		return n, problem.Hint(fmt.Errorf("network %s: %w", r.Name, ErrExists), "run: nook network inspect %s", r.Name)
	}
	others, errs := s.List()
	if err := errors.Join(errs...); err != nil {
		return n, err // what it has might be chosen again
	}
	if n, err = Plan(r, others, taken); err != nil {
		return n, err
	}
	n.Created = time.Now()
	if err := statefile.Create(s.path(n.Name), n); err != nil {
		return n, fmt.Errorf("create network %s: %w", n.Name, err)
	}
	s.tell(events.Create, n)
	return n, nil
}

// lock keeps others from making networks.
func (s Store) lock() (release func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create networks: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(s.Dir, lockFile), os.O_CREATE|os.O_RDWR, lockNew)
	if err != nil {
		return nil, fmt.Errorf("lock networks: %w", err)
	}
	if err := sys.Lock(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Settle returns the default network with addresses that the host has not. It is
// for who is about to run it: containers of it may run already, which keep theirs.
func (s Store) Settle(taken []Taken) (spec.Network, error) {
	n, err := s.Get(spec.DefaultNetwork)
	if err != nil || !n.Created.IsZero() || overlap(ip.Prefix(n.Subnets[0].Prefix), hostsOwn(taken)) == nil {
		return n, err
	}
	release, err := s.lock()
	if err != nil {
		return n, err
	}
	defer release()
	if n, err = s.Get(spec.DefaultNetwork); err != nil || !n.Created.IsZero() {
		return n, err
	}
	live, err := s.Leases(n.Name)
	if err != nil || len(live) > 0 {
		return n, err
	}
	others, errs := s.List()
	if err := errors.Join(errs...); err != nil {
		return n, err
	}
	p, err := freeIPv4(append(inNetworks(others), taken...))
	if err != nil {
		return n, err
	}
	n.Subnets, n.Created = []spec.Subnet{ip.SubnetText(ip.Subnet{Prefix: p, Gateway: p.Addr().Next()})}, time.Now()
	return n, statefile.Write(s.path(n.Name), n)
}

// Change changes the record of a network, and no change is lost to another that
// is made at the same time. Running containers keep what they started with.
func (s Store) Change(name string, f func(*spec.Network) error) (spec.Network, error) {
	release, err := s.lock()
	if err != nil {
		return spec.Network{}, err
	}
	defer release()
	n, err := s.Get(name)
	if err != nil {
		return n, err
	}
	if err := f(&n); err != nil {
		return n, err
	}
	if n.Created.IsZero() {
		n.Created = time.Now()
	}
	if err := Validate(n); err != nil {
		return n, err
	}
	if err := s.replace(n); err != nil {
		return n, fmt.Errorf("change network %s: %w", name, err)
	}
	s.tell(events.Update, n)
	return n, nil
}

// replace writes n in place of what is there. Who holds the old file holds the
// network no more, so it waits for them.
func (s Store) replace(n spec.Network) error {
	f, err := s.hold(n.Name, sys.Lock)
	if err != nil {
		return err
	}
	if f != nil {
		defer f.Close()
	}
	return statefile.Write(s.path(n.Name), n)
}

// Hold keeps the network from being removed until release is called.
func (s Store) Hold(name string) (release func(), err error) {
	if _, err := s.Get(name); err != nil {
		return nil, err
	}
	f, err := s.hold(name, sys.LockShared)
	if err != nil {
		return nil, err
	}
	return func() {
		if f != nil {
			f.Close()
		}
	}, nil
}

// hold locks the network's file as it is then. Without an error f may be nil: the
// default network need not have one.
func (s Store) hold(name string, lock func(*os.File) error) (f *os.File, err error) {
	for {
		f, err := os.Open(s.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			if name == spec.DefaultNetwork {
				return nil, nil //nolint:nilnil // it cannot be removed
			}
			return nil, fmt.Errorf("network %s: %w", name, ErrNotFound)
		}
		if err != nil {
			return nil, err
		}
		if err := lock(f); err != nil {
			f.Close()
			return nil, err
		}
		mine, err := f.Stat()
		if now, lerr := os.Lstat(s.path(name)); err == nil && lerr == nil && os.SameFile(mine, now) {
			return f, nil
		}
		f.Close() // replaced or removed between open and lock
	}
}

// Remove deletes a network that no container is in.
func (s Store) Remove(name string) error {
	if name == spec.DefaultNetwork {
		return fmt.Errorf("network %s: is the default network, which is always there", name)
	}
	f, err := s.hold(name, sys.TryLock)
	if errors.Is(err, sys.ErrLocked) {
		return fmt.Errorf("network %s: %w: a container is being made in it", name, ErrInUse)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	users, err := s.Users()
	if err != nil {
		return err
	}
	if in := users[name]; len(in) > 0 {
		return problem.Hint(fmt.Errorf("network %s: %w by container %s (%s)", name, ErrInUse, in[0].Name, in[0].Short()),
			"run: nook rm %s; or, to remove its containers too: nook network rm -f %s", in[0].Name, name)
	}
	was, err := s.Get(name)
	if err != nil {
		was = spec.Network{Name: name, ID: ID(name)} // a damaged one is removed too
	}
	if err := os.Remove(s.path(name)); err != nil {
		return fmt.Errorf("remove network: %w", err)
	}
	s.tell(events.Remove, was)
	return errors.Join(s.removeStatic(name), removeRunDir(s.RunDir(name)), sys.SyncDir(s.Dir))
}

// removeRunDir removes a directory in which the network's process may write down, a
// moment after the last member has left, that there is none.
func removeRunDir(dir string) error {
	const tries = 10 // it writes once
	var err error
	for range tries {
		if err = os.RemoveAll(dir); !errors.Is(err, syscall.ENOTEMPTY) {
			break
		}
	}
	return err
}

// Users lists the containers that are in each network, running or not.
func (s Store) Users() (map[string][]*state.Container, error) {
	all, errs := s.containers.List()
	users := map[string][]*state.Container{}
	for _, c := range all {
		for _, u := range c.Spec.Networks {
			users[u.Name] = append(users[u.Name], c)
		}
	}
	// A container whose record is damaged may be in any of them.
	return users, errors.Join(errs...)
}

// Uses returns what c asked for in a network.
func Uses(c spec.Container, network string) (spec.NetworkUse, bool) {
	i := slices.IndexFunc(c.Networks, func(u spec.NetworkUse) bool { return u.Name == network })
	if i < 0 {
		return spec.NetworkUse{}, false
	}
	return c.Networks[i], true
}

// Interface is what the interface of a container in a network is called.
func Interface(c spec.Container, network string) string {
	for i, u := range c.Networks {
		if u.Name == network && u.Interface != "" {
			return u.Interface
		}
		if u.Name == network {
			return "eth" + strconv.Itoa(i)
		}
	}
	return ""
}

// tell has the log of events tell that action happened to a network. It is no
// failure that it cannot.
func (s Store) tell(action string, n spec.Network) {
	e := events.Event{Time: time.Now(), Type: events.Network, Action: action, ID: n.ID, Name: n.Name, Attributes: n.Labels}
	_ = events.Of(s.containers).Append(e)
}

// Pruned tells that unused networks were removed, each of which is told too.
func (s Store) Pruned() {
	_ = events.Of(s.containers).Append(events.Event{Time: time.Now(), Type: events.Network, Action: events.Prune})
}

// TellMember tells that c came to the network or left it.
func (s Store) TellMember(action string, n spec.Network, c *state.Container) {
	e := events.Event{
		Time: time.Now(), Type: events.Network, Action: action, ID: n.ID, Name: n.Name,
		Attributes: map[string]string{"container": c.ID, "name": n.Name, "containerName": c.Name},
	}
	_ = events.Of(s.containers).Append(e)
}
