package bridge

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func guest() Guest {
	return Guest{
		Port: "p1", Interface: "eth0", MAC: [6]byte{2, 0, 0, 0, 0, 1}, MTU: 1500,
		Addrs:    []netip.Prefix{netip.MustParsePrefix("10.1.0.2/24"), netip.MustParsePrefix("fd01::2/64")},
		Gateways: []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd01::1")},
	}
}

func TestSteps(t *testing.T) {
	got := steps(guest())
	none, v4, v6 := netip.Prefix{}, guest().Gateways[0], guest().Gateways[1]
	want := []step{
		{inNetwork, addPair, "p1", none, netip.Addr{}},
		{inGuest, addAddr, "eth0", guest().Addrs[0], netip.Addr{}},
		{inGuest, addAddr, "eth0", guest().Addrs[1], netip.Addr{}},
		{inGuest, linkUp, "eth0", none, netip.Addr{}},
		{inGuest, addRoute, "", netip.MustParsePrefix("0.0.0.0/0"), v4},
		{inGuest, addRoute, "", netip.MustParsePrefix("::/0"), v6},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	apart := guest()
	apart.Isolated, apart.Gateways = true, nil
	kinds := ""
	for _, s := range steps(apart) {
		kinds += string('0' + rune(s.kind))
	}
	if kinds != "01223" {
		t.Errorf("isolated, no way out: steps %s, want 01223", kinds)
	}
}

func TestValidate(t *testing.T) {
	if err := guest().Validate(); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*Guest){
		"interface name \"\"":  func(g *Guest) { g.Interface = "" },
		"interface name \"a/b": func(g *Guest) { g.Interface = "a/b" },
		"interface name \"..":  func(g *Guest) { g.Interface = ".." },
		"1 to 15":              func(g *Guest) { g.Port = strings.Repeat("x", 16) },
		"no address":           func(g *Guest) { g.Addrs, g.Gateways = nil, nil },
		"multicast":            func(g *Guest) { g.MAC[0] = 3 },
		"not in a subnet":      func(g *Guest) { g.Gateways[0] = netip.MustParseAddr("10.2.0.1") },
	} {
		g := guest()
		spoil(&g)
		if err := g.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
