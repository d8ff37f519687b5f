package dns

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/nook-containers/nook/slirp"
)

// limits are an Outside that allows one name, and what it hears.
type limits struct {
	name  string
	heard string
}

func (l *limits) MayAsk(_ context.Context, guest netip.Addr, name string) bool {
	return guest == netip.MustParseAddr("10.1.0.9") && name == l.name
}

func (l *limits) Answered(guest netip.Addr, name string, addrs []netip.Addr) {
	l.heard += fmt.Sprint(guest, " ", name, " ", addrs)
}

// chain answers with an alias, and both kinds of addresses of what that leads to.
func chain(_ string, q []byte) []byte {
	m, _ := parseQuery(q)
	out, err := m.build(dnsmessage.RCodeSuccess, func(b *dnsmessage.Builder) error {
		h := dnsmessage.ResourceHeader{Name: m.question.Name, Class: dnsmessage.ClassINET}
		cdn := dnsmessage.MustNewName("cdn.example.net.")
		if err := b.CNAMEResource(h, dnsmessage.CNAMEResource{CNAME: cdn}); err != nil {
			return err
		}
		h.Name = cdn
		if err := b.AResource(h, dnsmessage.AResource{A: [4]byte{192, 0, 2, 7}}); err != nil {
			return err
		}
		return b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db8::7").As16()})
	})
	if err != nil {
		panic(err)
	}
	return out
}

// TestOutside has names that may not be asked for stay inside, and the answers to
// others told, whether the guest has room for them or not.
func TestOutside(t *testing.T) {
	l := &limits{name: "www.example.org"}
	for name, tc := range map[string]struct {
		say               func(string, []byte) []byte
		ask, proto        string
		want, asked, told string
	}{
		"another":         {chain, "example.org.", "udp", "NameError", "", ""},
		"a part of ours":  {chain, "x.containers.example.org.", "tcp", "NameError", "", ""},
		"of the network":  {chain, "web.", "udp", "Success 10.1.0.2", "", ""},
		"a chain":         {chain, "wWw.example.org.", "udp", "Success 192.0.2.7 2001:db8::7", "192.0.2.53 udp", "10.1.0.9 www.example.org [192.0.2.7 2001:db8::7]"},
		"without address": {says(0, 0), "www.example.org.", "tcp", "Success", "192.0.2.53 tcp", "10.1.0.9 www.example.org []"},
		"there is none":   {says(3, 0), "www.example.org.", "udp", "NameError", "192.0.2.53 udp", "10.1.0.9 www.example.org []"},
	} {
		w := &world{say: map[string]func(string, []byte) []byte{"192.0.2.53": tc.say}}
		r := New(Config{
			Members: table{"web": {"10.1.0.2"}}, Outside: l, Dial: w.dial, ResolvConf: []string{}, Servers: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
		})
		proto := slirp.UDP
		if tc.proto == "tcp" {
			proto = slirp.TCP
		}
		l.heard = ""
		if got := query1(r, proto, ask(tc.ask, dnsmessage.TypeA, 0)); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
		if asked := w.questions(); asked != tc.asked || l.heard != tc.told {
			t.Errorf("%s: asked %q, told %q; want %q and %q", name, asked, l.heard, tc.asked, tc.told)
		}
	}
	w := &world{say: map[string]func(string, []byte) []byte{"192.0.2.53": says(0, 60)}}
	r := New(Config{Outside: l, Dial: w.dial, ResolvConf: []string{}, Servers: []netip.Addr{netip.MustParseAddr("192.0.2.53")}})
	l.heard = ""
	if got := query1(r, slirp.UDP, ask("www.example.org.", dnsmessage.TypeA, 0)); got != "Success truncated" || len(l.heard) < 60*9 {
		t.Errorf("a long answer: %q, told %q", got, l.heard)
	}
}

// everything is an Outside for a fuzzer: no limits, and addresses that are some.
type everything struct{ t *testing.T }

func (everything) MayAsk(context.Context, netip.Addr, string) bool { return true }

func (e everything) Answered(_ netip.Addr, name string, addrs []netip.Addr) {
	for _, a := range addrs {
		if !a.IsValid() {
			e.t.Errorf("%q has the address %s", name, a)
		}
	}
}
