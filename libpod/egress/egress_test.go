package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/problem"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"none":                            "none",
		"None.":                           "none",
		"Example.ORG.":                    "example.org",
		"example.org:443":                 "example.org:443",
		"*.example.org:8000-8010":         "*.example.org:8000-8010",
		"localhost":                       "localhost",
		"10.1.2.3":                        "10.1.2.3",
		"10.1.2.3/24:5432":                "10.1.2.0/24:5432",
		"0.0.0.0/0":                       "0.0.0.0/0",
		"fd01::1":                         "fd01::1",
		"fd01::1/64":                      "fd01::/64",
		"[fd01::1]":                       "fd01::1",
		"[fd01::1]:443":                   "[fd01::1]:443",
		"[fd01::/64]:1-2":                 "[fd01::/64]:1-2",
		"a.org,b.org:80,a.org":            "a.org b.org:80",
		"":                                "host name",
		"a.org,,b.org":                    "host name",
		"none,a.org":                      "goes with no other",
		"*":                               "0.0.0.0/0, [::/0]",
		"*:443":                           "0.0.0.0/0, [::/0]",
		"*.":                              "host name",
		"a.*.org":                         "host name",
		"https://example.org":             "port",
		"example.org/x":                   "want an address",
		"example.org:":                    "port",
		"example.org:0":                   "port",
		"example.org:65536":               "port",
		"example.org:+1":                  "port",
		"example.org:80-79":               "lower one first",
		"example.org:80/tcp":              "port",
		"[fd01::1":                        "want none, or NAME",
		"[fd01::1]443":                    "want none, or NAME",
		"[10.1.2.3]:80":                   "want none, or NAME",
		"10.1.2":                          "want an address",
		"10.1.2.3/33":                     "want an address",
		"fe80::1%eth0":                    "want an address",
		"::ffff:10.1.2.3":                 "want an address",
		"fd01::1:443x":                    "want an address",
		strings.Repeat("a", 64):           "host name",
		strings.Repeat("a.", 130) + "org": "host name",
	} {
		rules, err := Parse([]string{in})
		got := strings.Join(Texts(rules), " ")
		if err != nil {
			got = err.Error() + " " + problem.HintOf(err)
			if !strings.Contains(got, want) {
				t.Errorf("%q: %s, want %q in it", in, got, want)
			}
			continue
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if rules, err := Parse(nil); rules != nil || err != nil || Texts(nil) != nil {
		t.Errorf("nothing: %v, %v", rules, err)
	}
	if rules, err := Parse([]string{"a.org,b.org", "c.org"}); err != nil || len(rules) != 3 {
		t.Errorf("given twice: %v, %v", rules, err)
	}
	var many []string
	for i := range maxRules + 1 {
		many = append(many, fmt.Sprintf("h%d.org", i))
	}
	if _, err := Parse(many); err == nil {
		t.Errorf("%d rules are no error", len(many))
	}
	if rules, err := Parse(many[1:]); err != nil || !NewGuest(rules).MayAsk(many[maxRules][0:]) {
		t.Errorf("the last of %d rules does not count: %v", maxRules, err)
	}
}

func guest(t *testing.T, rules ...string) *Guest {
	t.Helper()
	r, err := Parse(rules)
	if err != nil {
		t.Fatal(err)
	}
	return NewGuest(r)
}

func TestNames(t *testing.T) {
	g := guest(t, "example.org:443", "*.example.net")
	for name, want := range map[string]bool{
		"example.org": true, "www.example.org": false, "notexample.org": false, "example.org.evil.com": false,
		"example.net": false, "a.example.net": true, "a.b.example.net": true, "notexample.net": false, ".example.net": false, "": false,
	} {
		if g.MayAsk(name) != want {
			t.Errorf("%q may be asked for: %v", name, !want)
		}
	}
	if guest(t, "none").MayAsk("example.org") || guest(t, "10.1.2.3").MayAsk("10.1.2.3") {
		t.Error("rules without names let names through")
	}
}

func TestAllows(t *testing.T) {
	g := guest(t, "example.org:443", "*.example.net", "10.1.2.0/24:5432-5433", "fd01::1", "other.org:80")
	addrs := func(a ...string) (out []netip.Addr) {
		for _, s := range a {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	g.Answered("example.org", addrs("192.0.2.1", "2001:db8::1", "169.254.169.254", "fe80::1"))
	g.Answered("a.example.net", addrs("192.0.2.2", "::ffff:192.0.2.3"))
	g.Answered("evil.com", addrs("192.0.2.66"))
	for dst, want := range map[string]bool{
		"192.0.2.1:443": true, "192.0.2.1:80": false, "192.0.2.1:0": false, "[2001:db8::1]:443": true, "[2001:db8::2]:443": false,
		"192.0.2.2:1": true, "192.0.2.2:0": true, "192.0.2.3:22": true, "192.0.2.66:443": false,
		"10.1.2.9:5432": true, "10.1.2.9:5433": true, "10.1.2.9:5434": false, "10.1.2.9:0": false, "10.1.3.9:5432": false,
		"[fd01::1]:1": true, "[fd01::1]:0": true, "[fd01::2]:1": false,
		"169.254.169.254:443": false, "[fe80::1]:443": false,
	} {
		if g.Allows(netip.MustParseAddrPort(dst)) != want {
			t.Errorf("%s: allowed %v", dst, !want)
		}
	}
	// One address that two names have: the ports of both.
	g.Answered("other.org", addrs("192.0.2.1"))
	for dst, want := range map[string]bool{"192.0.2.1:443": true, "192.0.2.1:80": true, "192.0.2.1:81": false} {
		if g.Allows(netip.MustParseAddrPort(dst)) != want {
			t.Errorf("%s, of two names: allowed %v", dst, !want)
		}
	}
	if guest(t, "none").Allows(netip.MustParseAddrPort("192.0.2.1:443")) {
		t.Error("none allows something")
	}
	var all *Guest
	if !all.Allows(netip.MustParseAddrPort("192.0.2.1:443")) || !all.MayAsk("x") || !all.AllowsName(1, "x") {
		t.Error("without rules something is refused")
	}
	all.Answered("x", addrs("192.0.2.1"))
}

func TestAllowsName(t *testing.T) {
	g := guest(t, "host.containers.internal:5432")
	if !g.AllowsName(5432, "host.docker.internal", "host.containers.internal") || g.AllowsName(5433, "host.containers.internal") || g.AllowsName(5432, "host.docker.internal") {
		t.Error("host.containers.internal:5432 is read wrongly")
	}
}

// TestForgets: memory is bounded however many addresses a name has, and what is used
// stays.
func TestForgets(t *testing.T) {
	g := guest(t, "*.example.org")
	first, used := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	g.Answered("a.example.org", []netip.Addr{first, used})
	a := used
	for range 3 * remembered {
		a = a.Next()
		g.Answered("a.example.org", []netip.Addr{a, used})
	}
	if n := len(g.young) + len(g.old); n > 2*remembered {
		t.Errorf("%d addresses are remembered", n)
	}
	at := func(a netip.Addr) bool { return g.Allows(netip.AddrPortFrom(a, 1)) }
	if at(first) || !at(used) || !at(a) {
		t.Errorf("the oldest %v, the used one %v, the latest %v", at(first), at(used), at(a))
	}
}

// What is accepted can be written down and read again, and allows no more than it says.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"none", "example.org:443,*.example.net", "[fd01::/64]:1-2,10.1.2.3/24", "*", "a:1:b", "[::1]:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := Parse([]string{text})
		if err != nil {
			return
		}
		again, err := Parse(Texts(rules))
		if err != nil || !slices.Equal(again, rules) {
			t.Fatalf("%q: %v is written %q and read %v, %v", text, rules, Texts(rules), again, err)
		}
		g := NewGuest(rules)
		for _, r := range rules {
			if r.First > r.Last || r.Name == "" && r.Prefix != r.Prefix.Masked() || r.Name != strings.ToLower(r.Name) {
				t.Errorf("%q: %+v", text, r)
			}
			if r.Name == "" && !g.Allows(netip.AddrPortFrom(r.Prefix.Addr(), r.First)) {
				t.Errorf("%q: %s does not allow its own address", text, r)
			}
		}
		if !HasNames(rules) && g.MayAsk(text) {
			t.Errorf("%q: lets names through", text)
		}
	})
}
