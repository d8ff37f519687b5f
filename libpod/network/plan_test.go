package network

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/libpod/syntax"
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

func show(n spec.Network, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	var out []string
	for _, s := range n.Subnets {
		text := fmt.Sprintf("%s via %s", s.Prefix, s.Gateway)
		if s.RangeFirst != "" {
			text += fmt.Sprintf(" %s-%s", s.RangeFirst, s.RangeLast)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func TestPlan(t *testing.T) {
	route := func(p string) Taken { return Taken{Prefix: netip.MustParsePrefix(p), By: "a route", Routed: true} }
	link := func(p string) Taken { return Taken{Prefix: netip.MustParsePrefix(p), By: "eth0"} }
	old := spec.Network{Name: "old", Subnets: []spec.Subnet{{Prefix: "10.89.0.0/24"}}}
	gw := func(a string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(a)} }
	rng := func(text string) []syntax.AddrRange {
		r, err := syntax.IPRange(text)
		if err != nil {
			t.Fatal(err)
		}
		return []syntax.AddrRange{r}
	}
	for _, tc := range []struct {
		name  string
		r     Request
		taken []Taken
		want  string
	}{
		{"next to others", Request{}, nil, "10.89.1.0/24 via 10.89.1.1"},
		{"past a larger block", Request{}, []Taken{link("10.89.0.0/18")}, "10.89.64.0/24 via 10.89.64.1"},
		{"the default route counts for nothing", Request{}, []Taken{route("0.0.0.0/0"), route("0.0.0.0/1")}, "10.89.1.0/24 via 10.89.1.1"},
		{"a VPN has all of 10", Request{}, []Taken{route("10.0.0.0/8")}, "172.24.0.0/24 via 172.24.0.1"},
		{"a VPN has everything", Request{}, []Taken{route("10.0.0.0/8"), route("172.16.0.0/12"), route("192.168.0.0/16")}, "10.89.1.0/24 via 10.89.1.1"},
		{"hosts with everything", Request{}, []Taken{link("10.0.0.0/8"), link("172.16.0.0/12"), link("192.168.0.0/16")}, "error: no free IPv4 subnet"},
		{"asked for", Request{Subnets: prefixes("10.1.2.3/24"), Gateways: gw("10.1.2.254"), Ranges: rng("10.1.2.128/26")}, nil, "10.1.2.0/24 via 10.1.2.254 10.1.2.128-10.1.2.191"},
		{"a range of addresses", Request{Subnets: prefixes("10.1.2.0/24"), Ranges: rng("10.1.2.5-10.1.2.9")}, nil, "10.1.2.0/24 via 10.1.2.1 10.1.2.5-10.1.2.9"},
		{"asked for behind a router", Request{Subnets: prefixes("10.1.2.0/24")}, []Taken{route("10.0.0.0/8")}, "10.1.2.0/24 via 10.1.2.1"},
		{"asked for on a link", Request{Subnets: prefixes("10.1.2.0/24")}, []Taken{link("10.1.0.0/16")}, "error: subnet 10.1.2.0/24: overlaps with 10.1.0.0/16, which is eth0"},
		{"another's", Request{Subnets: prefixes("10.88.0.0/13")}, nil, "error: subnet 10.88.0.0/13: overlaps with 10.89.0.0/24, which is network old"},
		{"two of a family", Request{Subnets: prefixes("10.1.0.0/24", "10.2.0.0/24")}, nil, "error: subnet 10.2.0.0/24: a network has one subnet of each family"},
		{"both families", Request{Subnets: prefixes("fd01::/64", "10.1.0.0/24")}, nil, "10.1.0.0/24 via 10.1.0.1, fd01::/64 via fd01::1"},
		{"IPv6 alone", Request{Subnets: prefixes("fd01::/64")}, nil, "fd01::/64 via fd01::1"},
		{"IPv6 and a free IPv4", Request{Subnets: prefixes("fd01::/64"), IPv6: true}, nil, "10.89.1.0/24 via 10.89.1.1, fd01::/64 via fd01::1"},
		{"too small", Request{Subnets: prefixes("10.1.0.0/31")}, nil, "error: subnet 10.1.0.0/31: want a prefix of 8 to 30 bits"},
		{"loopback", Request{Subnets: prefixes("127.1.0.0/16")}, nil, "error: subnet 127.1.0.0/16: these addresses are for something else"},
		{"gateway elsewhere", Request{Subnets: prefixes("10.1.0.0/24"), Gateways: gw("10.2.0.1")}, nil, "error: gateway 10.2.0.1: is in no subnet of the network"},
		{"gateway on the broadcast address", Request{Subnets: prefixes("10.1.0.0/24"), Gateways: gw("10.1.0.255")}, nil, "error: gateway 10.1.0.255: not an address for a host in 10.1.0.0/24"},
		{"range elsewhere", Request{Subnets: prefixes("10.1.0.0/24"), Ranges: rng("10.2.0.0/25")}, nil, "error: range 10.2.0.0-10.2.0.127: is in no subnet of the network"},
		{"another driver", Request{Driver: "macvlan"}, nil, `error: network driver "macvlan": there is only bridge`},
		{"a bridge called as the stack's end", Request{Bridge: "tap0"}, nil, `error: interface name "tap0": is that of the way out`},
		{"a word of --network", Request{Name: "host"}, nil, `error: network name "host": means something else to --network`},
		{"a path", Request{Name: "../x"}, nil, "error: network name"},
	} {
		if tc.r.Name == "" {
			tc.r.Name = "n"
		}
		got := show(Plan(tc.r, []spec.Network{old}, tc.taken))
		if got != tc.want && (!strings.HasPrefix(tc.want, "error: ") || !strings.HasPrefix(got, tc.want)) {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.name, got, tc.want)
		}
	}
	n, err := Plan(Request{Name: "n", IPv6: true}, nil, nil)
	if s, ok := ip.SubnetOf(n, true); err != nil || !ok || s.Prefix.Bits() != 64 || s.Prefix.Addr().As16()[0] != 0xfd {
		t.Errorf("a made-up IPv6 subnet: %v, %v", n.Subnets, err)
	}
}

// Makers of networks at the same time never choose the same addresses, and of those
// who want the same name one gets it.
func TestCreateTogether(t *testing.T) {
	s := newScene(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen, taken := map[spec.Prefix]bool{}, 0
	for i := range 32 {
		wg.Go(func() {
			n, err := s.Create(Request{Name: fmt.Sprint("n", i/2)}, nil)
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, ErrExists) {
				taken++
			} else if err != nil {
				t.Error(err)
			} else {
				seen[n.Subnets[0].Prefix] = true
			}
		})
	}
	wg.Wait()
	if len(seen) != 16 || taken != 16 {
		t.Errorf("%d subnets, %d names taken", len(seen), taken)
	}
}

func TestLookup(t *testing.T) {
	s := newScene(t)
	n := s.network(t, "web")
	for _, key := range []string{"web", n.ID, n.ID[:12]} {
		if got, err := s.Lookup(key); err != nil || got.Name != "web" {
			t.Errorf("%s: %v, %v", key, got.Name, err)
		}
	}
	if _, err := s.Lookup("gone"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	def, err := s.Lookup(spec.DefaultNetwork)
	if err != nil || !def.DNS || Validate(def) != nil {
		t.Errorf("the default network: %v, %v", def, err)
	}
	if err := s.Remove(spec.DefaultNetwork); err == nil {
		t.Error("the default network was removed")
	}
	if _, err := s.Change("web", func(n *spec.Network) error { n.DNSServers = []spec.Addr{"9.9.9.9"}; return nil }); err != nil {
		t.Fatal(err)
	}
	if n, _ := s.Get("web"); len(n.DNSServers) != 1 {
		t.Error("a change was lost")
	}
	release, err := s.Hold("web")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("web"); !errors.Is(err, ErrInUse) {
		t.Errorf("a network that is held: %v", err)
	}
	release()
	if err := s.Remove("web"); err != nil {
		t.Error(err)
	}
	if _, err := s.Hold("web"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// The default network leaves addresses that the host got, unless it runs.
func TestSettle(t *testing.T) {
	s := newScene(t)
	clash := []Taken{{Prefix: netip.MustParsePrefix("10.87.3.0/24"), By: "eth0"}}
	n, err := s.Settle(nil)
	if err != nil || n.Subnets[0].Prefix != "10.87.0.0/16" {
		t.Fatal(n, err)
	}
	s.acquire(t, n, "a")
	if n, err = s.Settle(clash); err != nil || n.Subnets[0].Prefix != "10.87.0.0/16" {
		t.Errorf("moved under a container: %v, %v", n.Subnets, err)
	}
	s.kill("a")
	if n, err = s.Settle(clash); err != nil || n.Subnets[0].Prefix != "10.89.0.0/24" {
		t.Errorf("stayed: %v, %v", n.Subnets, err)
	}
	if n, _ = s.Get(spec.DefaultNetwork); n.Subnets[0].Prefix != "10.89.0.0/24" {
		t.Errorf("forgot: %v", n.Subnets)
	}
}

func FuzzSubnet(f *testing.F) {
	f.Add("10.1.2.0/24", "10.1.2.9")
	f.Add("fd00::/120", "fd00::ff")
	f.Add("10.1.2.0/30", "10.1.2.2")
	f.Fuzz(func(t *testing.T, subnet, before string) {
		p, err := syntax.Subnet(subnet)
		if err != nil || checkPrefix(p) != nil {
			return
		}
		s := ip.Subnet{Prefix: p, Gateway: p.Addr().Next()}
		if !p.Contains(last(p)) || last(p).Next().IsValid() && p.Contains(last(p).Next()) {
			t.Errorf("last of %s: %s", p, last(p))
		}
		b, _ := netip.ParseAddr(before)
		a, ok := next(s, b, func(netip.Addr) bool { return true })
		if !ok || !usable(p, a) || a == s.Gateway {
			t.Errorf("%s after %s: %s", p, b, a)
		}
		// With one address left it is found, wherever the search begins.
		if p.Addr().BitLen()-p.Bits() > 12 {
			return // too many to look at
		}
		if end, _ := next(s, b, func(x netip.Addr) bool { return x == a }); end != a {
			t.Errorf("%s: got %s, want %s", p, end, a)
		}
	})
}
