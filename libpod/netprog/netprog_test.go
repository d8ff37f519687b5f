package netprog

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/problem"
)

func TestSlirpArgs(t *testing.T) {
	for name, tc := range map[string]struct {
		options   []string
		with, not string // in the command line
		address   string
	}{
		"nothing":      {nil, "--mtu 65520 --cidr 10.0.2.0/24", "outbound", "10.0.2.100"},
		"loopback off": {nil, "--disable-host-loopback", "nothing", "10.0.2.100"},
		"loopback on":  {[]string{"allow_host_loopback=true"}, "--enable-ipv6", "--disable-host-loopback", "10.0.2.100"},
		"no IPv6":      {[]string{"enable_ipv6=false"}, "--configure", "--enable-ipv6", "10.0.2.100"},
		"mtu":          {[]string{"mtu=1500"}, "--mtu 1500", "65520", "10.0.2.100"},
		"cidr":         {[]string{"cidr=192.168.7.9/25"}, "--cidr 192.168.7.0/25", "10.0.2.0", "192.168.7.100"},
		"outbound":     {[]string{"outbound_addr=eth0", "outbound_addr6=fd00::1"}, "--outbound-addr=eth0 --outbound-addr6=fd00::1", "nothing", "10.0.2.100"},
		"port handler": {[]string{"port_handler=slirp4netns"}, "--api-socket", "rootlesskit", "10.0.2.100"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Parse(spec.NetworkSlirp, tc.options)
			if err != nil {
				t.Fatal(err)
			}
			line := strings.Join(p.args(nil), " ")
			if !strings.Contains(line, tc.with) || strings.Contains(line, tc.not) {
				t.Errorf("%s\nwant %q and no %q", line, tc.with, tc.not)
			}
			if got := p.View().Address; got != netip.MustParseAddr(tc.address) {
				t.Errorf("address %s, want %s", got, tc.address)
			}
		})
	}
}

func TestPastaArgs(t *testing.T) {
	ports := []spec.Port{
		{HostPort: 8080, ContainerPort: 80, Proto: spec.ProtoTCP},
		{HostIP: "::1", HostPort: 53, ContainerPort: 5353, Proto: spec.ProtoUDP},
	}
	for name, tc := range map[string]struct {
		options   []string
		ports     []spec.Port
		with, not string
	}{
		"nothing in":        {nil, nil, "--tcp-ports none --udp-ports none --tcp-ns none --udp-ns none --no-map-gw", "--map-gw "},
		"published":         {nil, ports, "--tcp-ports 8080:80 --udp-ports ::1/53:5353", "ports none"},
		"one protocol":      {nil, ports[:1], "--udp-ports none", "--tcp-ports none"},
		"the user's ports":  {[]string{"-t", "auto"}, nil, "-t auto", "--tcp-ports"},
		"gateway":           {[]string{"--map-gw"}, nil, "--config-net", "map-gw"},
		"names":             {nil, nil, "--dns-forward 169.254.1.1", "nothing"},
		"the user's names":  {[]string{"--dns-forward", "10.1.1.1"}, nil, "--dns-forward 10.1.1.1", "169.254.1.1"},
		"debug":             {[]string{"--debug"}, nil, "--debug", "--quiet"},
		"as they are given": {[]string{"-a", "10.1.0.2", "--mtu=1400"}, nil, "--config-net -a 10.1.0.2 --mtu=1400", "nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Parse(spec.NetworkPasta, tc.options)
			if err != nil {
				t.Fatal(err)
			}
			line := strings.Join(p.args(tc.ports), " ")
			if !strings.Contains(line, tc.with) || strings.Contains(line, tc.not) {
				t.Errorf("%s\nwant %q and no %q", line, tc.with, tc.not)
			}
		})
	}
}

func TestPastaServers(t *testing.T) {
	for _, tc := range []struct {
		options []string
		want    []netip.Addr
	}{
		{nil, []netip.Addr{forwards()}},
		{[]string{"--dns-forward", "10.1.1.1"}, []netip.Addr{netip.MustParseAddr("10.1.1.1")}},
		{[]string{"--dns-forward=10.1.1.1"}, []netip.Addr{netip.MustParseAddr("10.1.1.1")}},
		{[]string{"-D", "10.1.1.1"}, nil},
		{[]string{"-6"}, nil},
	} {
		p, err := Parse(spec.NetworkPasta, tc.options)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.View().Servers; !slices.Equal(got, tc.want) {
			t.Errorf("%q: servers %v, want %v", tc.options, got, tc.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for mode, list := range map[string][]string{
		spec.NetworkPasta: {"--netns", "--userns=/x", "-f", "--pid=/x", "--help", "", "1234", "mtu=1500"},
		spec.NetworkSlirp: {
			"", "nothing", "mtu=", "mtu=100", "mtu=x", "cidr=10.0.2.0/26", "cidr=fd00::/64", "cidr=x", "enable_ipv6=maybe", "outbound_addr=fd00::1",
			"outbound_addr6=10.0.0.1", "outbound_addr=--x", "port_handler=rootlesskit", "port_handler=x", "allow_host_loopback=",
		},
	} {
		for _, o := range list {
			if _, err := Parse(mode, []string{o}); err == nil || !strings.Contains(err.Error(), o) {
				t.Errorf("%s: %q: %v, want an error that names it", mode, o, err)
			}
		}
	}
	if _, err := Parse(spec.NetworkSlirp, []string{"enable_ipv6=false", "outbound_addr6=fd00::1"}); err == nil {
		t.Error("an IPv6 address without IPv6")
	}
}

func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for mode, pkg := range map[string]string{spec.NetworkPasta: "passt", spec.NetworkSlirp: "slirp4netns"} {
		p, err := Parse(mode, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(p, nil); err == nil || !strings.Contains(problem.HintOf(err), "install the package "+pkg) {
			t.Errorf("%s: %v, hint %q", mode, err, problem.HintOf(err))
		}
	}
}

func TestClaim(t *testing.T) {
	const local = "127.0.0.1"
	got, err := claim(t.Context(), []spec.Port{
		{HostIP: local, ContainerPort: 80, Range: 2, Proto: spec.ProtoTCP},
		{HostIP: local, ContainerPort: 80, Proto: spec.ProtoUDP},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0].HostPort == 0 || got[0].HostPort == got[1].HostPort || got[1].ContainerPort != 81 || got[2].Proto != spec.ProtoUDP {
		t.Errorf("%+v", got)
	}
	held, err := listen(t.Context(), &got[0])
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	choice := spec.Port{HostIP: local, HostPort: got[0].HostPort, HostRange: 1, ContainerPort: 80, Range: 1, Proto: spec.ProtoTCP}
	if _, err := claim(t.Context(), []spec.Port{choice}); err == nil || !strings.Contains(err.Error(), "none of these ports") {
		t.Errorf("no choice: %v", err)
	}
	choice.HostRange = 100
	if one, err := claim(t.Context(), []spec.Port{choice}); err != nil || len(one) != 1 || one[0].HostPort <= choice.HostPort || one[0].HostRange != 0 {
		t.Errorf("one of 100: %+v, %v", one, err)
	}
	if _, err := claim(t.Context(), got); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a port that is taken: %v", err)
	}
}

func TestDigest(t *testing.T) {
	for said, want := range map[string]string{
		"":                           "",
		"\nFailed to send 3 bytes\n": "",
		"no route\n":                 ": no route",
		"pasta: bad option\nUsage: pasta\n  -d\n": ": pasta: bad option",
		"1\n2\n3\n4\n5\n6\n":                      ": 2; 3; 4; 5; 6",
	} {
		if got := digest(said); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
}
