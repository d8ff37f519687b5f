package forward

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp"
)

func config() slirp.Config {
	return slirp.Config{
		IPv4: slirp.Subnet{Prefix: netip.MustParsePrefix("10.88.0.0/24")},
		IPv6: slirp.Subnet{Prefix: netip.MustParsePrefix("fd88::/64")},
	}.WithDefaults()
}

// routes is a host with the addresses 192.0.2.7 and 2001:db8::7.
func routes(a netip.Addr) (inet.RouteType, error) {
	switch a.String() {
	case "192.0.2.7", "2001:db8::7", "127.0.0.1", "::1":
		return inet.RouteLocal, nil
	case "192.0.2.255":
		return inet.RouteBroadcast, nil
	case "198.51.100.1":
		return 0, fmt.Errorf("route: %w", syscall.EHOSTUNREACH)
	case "198.51.100.2":
		return 0, fmt.Errorf("route: %w", syscall.EACCES)
	case "198.51.100.3":
		return 0, fmt.Errorf("route: %w", syscall.ENETUNREACH)
	}
	return inet.RouteUnicast, nil
}

func TestAdmit(t *testing.T) {
	cfg := config()
	open := config()
	open.Host.Addrs = true
	alias := config()
	alias.Host.Aliases = []slirp.Alias{
		{Guest: netip.MustParseAddr("10.88.0.1"), Host: netip.MustParseAddr("127.0.0.1"), Ports: []slirp.PortRange{{First: 80, Last: 90}}},
		{Guest: netip.MustParseAddr("169.254.1.2"), Host: netip.MustParseAddr("192.0.2.7")},
	}
	byGuest := config()
	byGuest.Host.AliasOf = func(f slirp.Flow) (netip.Addr, bool) {
		if f.Dst.Port() == 80 {
			return netip.MustParseAddr("127.0.0.1"), f.Dst.Addr() == netip.MustParseAddr("169.254.1.2")
		}
		return netip.Addr{}, f.Dst.Addr() == netip.MustParseAddr("169.254.1.2")
	}
	for _, c := range []struct {
		cfg  slirp.Config
		dst  string
		want Outcome
		to   string // "" is dst
	}{
		{cfg, "203.0.113.1:80", Opened, ""},
		{cfg, "[2001:db8:1::1]:80", Opened, ""},
		{cfg, "10.88.0.1:80", Refused, ""},
		{cfg, "10.88.0.77:80", Refused, ""},
		{cfg, "[fd88::77]:80", Refused, ""},
		{cfg, "192.0.2.7:80", Refused, ""},
		{cfg, "[2001:db8::7]:80", Refused, ""},
		{open, "192.0.2.7:80", Opened, ""},
		// Ways to the loopback that a socket would take.
		{open, "127.0.0.1:80", NetUnreachable, ""},
		{open, "127.1.2.3:80", NetUnreachable, ""},
		{open, "0.0.0.0:80", NetUnreachable, ""},
		{open, "0.1.2.3:80", NetUnreachable, ""},
		{open, "[::]:80", NetUnreachable, ""},
		{open, "[::1]:80", NetUnreachable, ""},
		{open, "[::ffff:127.0.0.1]:80", NetUnreachable, ""},
		{open, "[::ffff:192.0.2.7]:80", NetUnreachable, ""},
		{open, "[::127.0.0.1]:80", NetUnreachable, ""},
		{open, "[fe80::1]:80", NetUnreachable, ""},
		{open, "224.0.0.1:80", NetUnreachable, ""},
		{open, "255.255.255.255:80", NetUnreachable, ""},
		{open, "192.0.2.255:80", NetUnreachable, ""},
		{cfg, "198.51.100.1:80", HostUnreachable, ""},
		{cfg, "198.51.100.2:80", Prohibited, ""},
		{cfg, "198.51.100.3:80", NetUnreachable, ""},
		{alias, "10.88.0.1:80", Opened, "127.0.0.1:80"},
		{alias, "10.88.0.1:91", Refused, ""},
		{byGuest, "169.254.1.2:80", Opened, "127.0.0.1:80"},
		{byGuest, "169.254.1.2:81", Refused, ""},
		{byGuest, "203.0.113.1:80", Opened, ""},
		{alias, "169.254.1.2:9", Opened, "192.0.2.7:9"},
		{alias, "192.0.2.7:9", Refused, ""},
	} {
		dst := netip.MustParseAddrPort(c.dst)
		to, got := NewRules(c.cfg, routes).Admit(t.Context(), slirp.Flow{Proto: slirp.TCP, Dst: dst})
		if c.to == "" {
			c.to = c.dst
		}
		if got != c.want || got == Opened && to != netip.MustParseAddrPort(c.to) {
			t.Errorf("%s: %d to %s, want %d to %s", c.dst, got, to, c.want, c.to)
		}
	}
}

// TestEgressComesLast: what is forbidden anyway is not asked about.
func TestEgressComesLast(t *testing.T) {
	var asked []netip.AddrPort
	cfg := config()
	verdict := slirp.Allow
	cfg.Egress = func(_ context.Context, f slirp.Flow) slirp.Verdict {
		asked = append(asked, f.Dst)
		return verdict
	}
	r := NewRules(cfg, routes)
	far := netip.MustParseAddrPort("203.0.113.1:80")
	for v, want := range map[slirp.Verdict]Outcome{slirp.Allow: Opened, slirp.Reject: Prohibited, slirp.Drop: Dropped} {
		verdict = v
		if _, got := r.Admit(t.Context(), slirp.Flow{Dst: far}); got != want {
			t.Errorf("verdict %d gives %d, want %d", v, got, want)
		}
	}
	r.Admit(t.Context(), slirp.Flow{Dst: netip.MustParseAddrPort("127.0.0.1:80")})
	if len(asked) != 3 {
		t.Errorf("asked about %v", asked)
	}
}

func TestInner(t *testing.T) {
	both := []netip.Addr{netip.MustParseAddr("10.88.0.5"), netip.MustParseAddr("fd88::5")}
	for _, c := range []struct {
		client, from, to string
		guest            []netip.Addr
		source           slirp.Source
	}{
		{"203.0.113.9:5555", "203.0.113.9:5555", "10.88.0.5:80", both, slirp.SourceClient},
		{"[::ffff:203.0.113.9]:5555", "203.0.113.9:5555", "10.88.0.5:80", both, slirp.SourceClient},
		{"[2001:db8::9]:5555", "[2001:db8::9]:5555", "[fd88::5]:80", both, slirp.SourceClient},
		{"[2001:db8::9]:5555", "10.88.0.1:0", "10.88.0.5:80", both[:1], slirp.SourceClient},
		{"127.0.0.1:5555", "10.88.0.1:0", "10.88.0.5:80", both, slirp.SourceClient},
		{"127.0.0.53:5555", "10.88.0.1:0", "10.88.0.5:80", both, slirp.SourceClient},
		{"[::1]:5555", "[fd88::1]:0", "[fd88::5]:80", both, slirp.SourceClient},
		{"[fe80::1%eth0]:5555", "[fd88::1]:0", "[fd88::5]:80", both, slirp.SourceClient},
		{"10.88.0.9:5555", "10.88.0.1:0", "10.88.0.5:80", both, slirp.SourceClient},
		{"203.0.113.9:5555", "10.88.0.1:0", "10.88.0.5:80", both, slirp.SourceGateway},
	} {
		from, to := Inner(config(), slirp.Port{Guest: c.guest, GuestPort: 80, Source: c.source}, netip.MustParseAddrPort(c.client))
		if from != netip.MustParseAddrPort(c.from) || to != netip.MustParseAddrPort(c.to) {
			t.Errorf("%s: from %s to %s, want from %s to %s", c.client, from, to, c.from, c.to)
		}
	}
}

func TestGate(t *testing.T) {
	a, b, c := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")
	g := NewGate(3, 2)
	for i, want := range []bool{true, true, false} {
		if g.Enter(a) != want {
			t.Errorf("enter %d of one guest: %v", i, !want)
		}
	}
	if !g.Enter(b) || g.Enter(c) {
		t.Error("the limit for all does not hold")
	}
	g.Leave(a)
	if !g.Enter(c) || g.Count() != 3 {
		t.Errorf("a place that was left is not free; %d inside", g.Count())
	}
	for _, x := range []netip.Addr{a, b, c} {
		g.Leave(x)
	}
	if g.Count() != 0 || len(g.guests) != 0 {
		t.Errorf("%d inside, %d guests remembered", g.Count(), len(g.guests))
	}
}

func TestOutcomeOf(t *testing.T) {
	for err, want := range map[error]Outcome{
		syscall.ECONNREFUSED: Refused, syscall.ENETUNREACH: NetUnreachable, syscall.ETIMEDOUT: HostUnreachable,
		os.ErrDeadlineExceeded: HostUnreachable, syscall.EPERM: Prohibited, syscall.EMFILE: Dropped, context.Canceled: Dropped,
	} {
		if got := OutcomeOf(fmt.Errorf("dial: %w", err)); got != want {
			t.Errorf("%v is %d, want %d", err, got, want)
		}
	}
}

// TestRoutesAreRemembered wants an answer to be used again for a moment, and an error
// not to be.
func TestRoutesAreRemembered(t *testing.T) {
	asked := 0
	r := remembered{known: map[netip.Addr]route{}, ask: func(a netip.Addr) (inet.RouteType, error) {
		asked++
		return routes(a)
	}}
	to := func(addr string, wantAsked int, wantKind inet.RouteType, wantErr error) {
		t.Helper()
		kind, err := r.to(netip.MustParseAddr(addr))
		if kind != wantKind || !errors.Is(err, wantErr) || asked != wantAsked {
			t.Errorf("%s: %v, %v, asked %d times; want %v, %v, %d", addr, kind, err, asked, wantKind, wantErr, wantAsked)
		}
	}
	to("192.0.2.7", 1, inet.RouteLocal, nil)
	r.known[netip.MustParseAddr("192.0.2.7")] = route{inet.RouteLocal, time.Now().Add(time.Hour)} // however slow this test is
	to("192.0.2.7", 1, inet.RouteLocal, nil)
	r.known[netip.MustParseAddr("192.0.2.7")] = route{inet.RouteUnicast, time.Now().Add(-routeFresh)}
	to("192.0.2.7", 2, inet.RouteLocal, nil)
	to("198.51.100.1", 3, 0, syscall.EHOSTUNREACH)
	to("198.51.100.1", 4, 0, syscall.EHOSTUNREACH)
	for a := netip.MustParseAddr("10.0.0.1"); asked < 4+3*maxRoutes; a = a.Next() {
		if _, err := r.to(a); err != nil || len(r.known) > maxRoutes {
			t.Fatalf("%d routes, %v", len(r.known), err)
		}
	}
}
