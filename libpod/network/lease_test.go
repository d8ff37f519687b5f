package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
)

// scene is a store of networks whose containers live as the test says.
type scene struct {
	Store

	mu   sync.Mutex
	dead map[string]bool
}

func newScene(t *testing.T) *scene {
	t.Helper()
	dir := t.TempDir()
	s := &scene{Store: Of(state.Store{Dir: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run")}), dead: map[string]bool{}}
	s.watched = func(id string) (bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.dead[id], nil
	}
	return s
}

func (s *scene) kill(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead[id] = true
}

func (s *scene) network(t *testing.T, name string, subnets ...string) spec.Network {
	t.Helper()
	r := Request{Name: name}
	for _, p := range subnets {
		r.Subnets = append(r.Subnets, netip.MustParsePrefix(p))
	}
	n, err := s.Create(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (s *scene) acquire(t *testing.T, n spec.Network, id string) Lease {
	t.Helper()
	l, err := s.Acquire(t.Context(), n, spec.NetworkUse{}, id)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Nobody shares an address, however many start at once, and all of a subnet is
// used.
func TestParallelStarts(t *testing.T) {
	s := newScene(t)
	n := s.network(t, "n", "10.9.0.0/26", "fd01::/64")
	const most = 64 - 3 // network, gateway, broadcast
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen, failed := map[string]int{}, 0
	for i := range most + 5 {
		wg.Go(func() {
			l, err := s.Acquire(t.Context(), n, spec.NetworkUse{}, fmt.Sprint("c", i))
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, ErrNoAddress) {
				failed++
			} else if err != nil {
				t.Error(err)
			} else {
				seen[l.IPv4.String()]++
				seen[l.IPv6.String()]++
				seen[l.MAC.String()]++
			}
		})
	}
	wg.Wait()
	if len(seen) != 3*most || failed != 5 {
		t.Errorf("%d different addresses, want %d; %d refused, want 5", len(seen), 3*most, failed)
	}
	live, err := s.Leases("n")
	if err != nil || len(live) != most {
		t.Errorf("%d leases, %v", len(live), err)
	}
	// The dead one's address, and no other, is free at once.
	was, _, _ := s.LeaseOf("n", live[7].Container)
	s.kill(live[7].Container)
	if l := s.acquire(t, n, "late"); l.IPv4 != was.IPv4 {
		t.Errorf("got %s, want the dead one's %s", l.IPv4, was.IPv4)
	}
	if _, err := s.Acquire(t.Context(), n, spec.NetworkUse{}, "later"); !errors.Is(err, ErrNoAddress) {
		t.Errorf("of a full network: %v", err)
	}
}

func TestAddressesRest(t *testing.T) {
	s := newScene(t)
	n := s.network(t, "n", "10.9.0.0/24")
	a := s.acquire(t, n, "a")
	if want := netip.MustParseAddr("10.9.0.2"); a.IPv4 != want || a.MAC.String() != "02:42:0a:09:00:02" {
		t.Errorf("the first lease: %v", a)
	}
	if err := s.Release(t.Context(), "n", "a"); err != nil {
		t.Fatal(err)
	}
	if b := s.acquire(t, n, "b"); b.IPv4 == a.IPv4 {
		t.Error("an address was dealt out again at once")
	}
	again := s.acquire(t, n, "b")
	if third := s.acquire(t, n, "b"); third.IPv4 != again.IPv4 || third.MAC != again.MAC {
		t.Errorf("the same container got %v, then %v", again, third)
	}
}

// The file does not grow with the containers that there have been, and who lives
// stays in it.
func TestGoneAreDropped(t *testing.T) {
	s := newScene(t)
	n := s.network(t, "n", "10.9.0.0/16")
	kept := s.acquire(t, n, "kept")
	for i := range 10 * sweepEvery {
		id := fmt.Sprint("c", i)
		s.acquire(t, n, id)
		s.kill(id)
	}
	if l, err := s.readLeases("n"); err != nil || len(l.Leases) > sweepEvery {
		t.Errorf("%d leases are on file, %v", len(l.Leases), err)
	}
	if again, ok, err := s.LeaseOf("n", "kept"); !ok || err != nil || again.IPv4 != kept.IPv4 {
		t.Errorf("the living has %v, %v, %v", again, ok, err)
	}
}

func TestAskedFor(t *testing.T) {
	s := newScene(t)
	n := s.network(t, "n", "10.9.0.0/29")
	ask := func(use spec.NetworkUse, id string) error {
		_, err := s.Acquire(t.Context(), n, use, id)
		return err
	}
	ip := func(a spec.Addr) spec.NetworkUse { return spec.NetworkUse{Name: "n", IPv4: a} }
	if err := ask(ip("10.9.0.4"), "a"); err != nil {
		t.Fatal(err)
	}
	if err := ask(ip("10.9.0.4"), "b"); !errors.Is(err, ErrAddressInUse) {
		t.Errorf("an address for two: %v", err)
	}
	s.kill("a")
	if err := ask(ip("10.9.0.4"), "b"); err != nil {
		t.Errorf("a dead one's address: %v", err)
	}
	for _, a := range []spec.Addr{"10.9.0.0", "10.9.0.1", "10.9.0.7", "10.9.0.8", "10.9.0.4x"} {
		if err := ask(ip(a), "c"); err == nil {
			t.Errorf("%s was dealt out", a)
		}
	}
	v6 := spec.NetworkUse{IPv6: "fd01::2"}
	if err := ask(v6, "c"); err == nil {
		t.Error("an IPv6 address in a network without")
	}
	mac := spec.NetworkUse{MAC: spec.MAC{2, 0x42, 10, 9, 0, 5}}
	if err := ask(mac, "m"); err != nil {
		t.Fatal(err)
	}
	if err := ask(mac, "m2"); !errors.Is(err, ErrAddressInUse) {
		t.Errorf("a hardware address for two: %v", err)
	}
	if l, err := s.Acquire(t.Context(), n, ip("10.9.0.5"), "o"); err != nil || l.MAC == mac.MAC {
		t.Errorf("derived hardware address: %v, %v", l, err)
	}
}

// An address that a container asked for is kept for it while it does not run, and
// no longer than it exists.
func TestReserve(t *testing.T) {
	s := newScene(t)
	n := s.network(t, "n", "10.9.0.0/30") // one address beside the gateway
	home := filepath.Join(s.containers.Dir, "containers", "holder")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	use := spec.NetworkUse{Name: "n", IPv4: "10.9.0.2"}
	if err := s.Reserve(use, "holder"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Acquire(t.Context(), n, spec.NetworkUse{}, "other"); !errors.Is(err, ErrNoAddress) {
		t.Errorf("a reserved address was dealt out: %v", err)
	}
	if l, err := s.Acquire(t.Context(), n, use, "holder"); err != nil || l.IPv4.String() != string(use.IPv4) {
		t.Errorf("its holder: %v, %v", l, err)
	}
	s.kill("holder")
	if err := os.Remove(home); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Acquire(t.Context(), n, spec.NetworkUse{}, "other"); err != nil {
		t.Errorf("after the holder was removed: %v", err)
	}
}

// A damaged file of one network is that network's trouble alone.
func TestDamage(t *testing.T) {
	s := newScene(t)
	s.network(t, "good")
	s.network(t, "bad")
	if err := os.WriteFile(s.path("bad"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, errs := s.List()
	if len(all) != 2 || len(errs) != 1 {
		t.Errorf("%v, %v", all, errs)
	}
	if err := s.Remove("bad"); err != nil {
		t.Errorf("remove: %v", err)
	}
}
