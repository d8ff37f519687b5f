package network

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
)

// member makes a container that is in networks.
func (s *scene) member(t *testing.T, name string, networks ...string) *state.Container {
	t.Helper()
	cfg := state.Config{ID: strings.Repeat(fmt.Sprintf("%02x", name[0]), 32), Name: name, Command: []string{"x"}}
	for _, n := range networks {
		cfg.Spec.Networks = append(cfg.Spec.Networks, spec.NetworkUse{Name: n, Aliases: []string{"alias-" + name}})
	}
	c, err := s.containers.Create(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(); err != nil {
		t.Fatal(err)
	}
	c.Release()
	return c
}

func (s *scene) start(t *testing.T, c *state.Container) map[string]Lease {
	t.Helper()
	out := map[string]Lease{}
	for _, u := range c.Spec.Networks {
		n, err := s.Get(u.Name)
		if err != nil {
			t.Fatal(err)
		}
		if out[u.Name], err = s.Acquire(t.Context(), n, u, c.ID); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// A guest finds those it shares a network with, in all of its networks, and nobody
// else.
func TestDirectory(t *testing.T) {
	s := newScene(t)
	s.network(t, "front", "10.9.0.0/24", "fd01::/64")
	s.network(t, "back", "10.10.0.0/24")
	web, db, out := s.member(t, "Web", "front", "back"), s.member(t, "db", "back"), s.member(t, "out", "front")
	webs, dbs, outs := s.start(t, web), s.start(t, db), s.start(t, out)
	d := s.Directory("front")
	look := func(guest netip.Addr, name string) string {
		addrs, ok := d.Lookup(guest, name)
		return fmt.Sprint(addrs, ok)
	}
	for _, tc := range []struct {
		guest      netip.Addr
		name, want string
	}{
		{outs["front"].IPv4, "web", fmt.Sprintf("[%s %s] true", webs["front"].IPv4, webs["front"].IPv6)},
		{outs["front"].IPv6, "alias-web", fmt.Sprintf("[%s %s] true", webs["front"].IPv4, webs["front"].IPv6)},
		{outs["front"].IPv4, web.Short(), fmt.Sprintf("[%s %s] true", webs["front"].IPv4, webs["front"].IPv6)},
		{outs["front"].IPv4, "alias-db", "[] false"},
		{webs["front"].IPv4, "alias-db", fmt.Sprintf("[%s] true", dbs["back"].IPv4)},
		{outs["front"].IPv4, "nobody", "[] false"},
	} {
		if got := look(tc.guest, tc.name); got != tc.want {
			t.Errorf("%s for %s: got %s, want %s", tc.name, tc.guest, got, tc.want)
		}
	}
	if got := d.Reverse(outs["front"].IPv4, webs["front"].IPv6); len(got) == 0 || got[0] != "web" {
		t.Errorf("reverse: %v", got)
	}
	s.kill(db.ID)
	if got := look(webs["front"].IPv4, "db"); got != "[] true" {
		t.Errorf("one that does not run: %s", got)
	}
	if err := web.Rename("www"); err != nil {
		t.Fatal(err)
	}
	if err := s.Renamed(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	if got := look(outs["front"].IPv4, "www"); !strings.HasSuffix(got, "] true") || strings.HasPrefix(got, "[]") {
		t.Errorf("a new name: %s", got)
	}
	if err := s.Remove("back"); err == nil {
		t.Error("a network with containers was removed")
	}
}
