package network

import (
	"net/netip"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
)

func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, t := range texts {
		out = append(out, netip.MustParseAddr(t))
	}
	return out
}

func TestResolvConf(t *testing.T) {
	for _, tc := range []struct {
		name string
		r    Resolv
		want string
	}{
		{
			"nothing asked for",
			Resolv{Gateways: addrs("10.9.0.1", "fd01::1"), HostServers: addrs("192.0.2.1"), HostSearch: []string{"corp.example"}},
			"search corp.example\nnameserver 10.9.0.1\nnameserver fd01::1\n",
		},
		{
			"all asked for",
			Resolv{Asked: spec.DNS{Servers: []spec.Addr{"9.9.9.9"}, Search: []string{"a", "b"}, Options: []string{"ndots:2", "rotate"}}, Gateways: addrs("10.9.0.1"), HostSearch: []string{"corp.example"}},
			"search a b\nnameserver 10.9.0.1\noptions ndots:2 rotate\n",
		},
		{
			"no gateway",
			Resolv{Asked: spec.DNS{Servers: []spec.Addr{"9.9.9.9", "1.1.1.1", "8.8.8.8", "8.8.4.4"}, Search: []string{"."}}, HostServers: addrs("192.0.2.1"), HostSearch: []string{"x"}},
			"nameserver 9.9.9.9\nnameserver 1.1.1.1\nnameserver 8.8.8.8\n",
		},
		{"the host's", Resolv{HostServers: addrs("192.0.2.1")}, "nameserver 192.0.2.1\n"},
		{"nothing", Resolv{}, ""},
	} {
		if got := string(ResolvConf(tc.r)); got != tc.want {
			t.Errorf("%s: got\n%swant\n%s", tc.name, got, tc.want)
		}
	}
}

func TestHostsLines(t *testing.T) {
	got := string(HostsLines(Hosts{
		Hostname: "abc", Name: "web", Host: addrs("10.9.0.1"),
		Leases: []Lease{{IPv4: addrs("10.9.0.2")[0], IPv6: addrs("fd01::2")[0]}, {IPv4: addrs("10.10.0.2")[0]}},
	}))
	want := "10.9.0.2\tabc web\nfd01::2\tabc web\n10.10.0.2\tabc web\n10.9.0.1\thost.containers.internal host.docker.internal\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := string(HostsLines(Hosts{Hostname: "web", Name: "web", Leases: []Lease{{IPv4: addrs("10.9.0.2")[0]}}})); got != "10.9.0.2\tweb\n" {
		t.Errorf("one name twice: %s", got)
	}
}
