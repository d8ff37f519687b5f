package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/nook-containers/nook/slirp"
)

// table is members by name.
type table map[string][]string

func (m table) Lookup(_ netip.Addr, name string) (addrs []netip.Addr, ok bool) {
	texts, ok := m[name]
	for _, t := range texts {
		addrs = append(addrs, netip.MustParseAddr(t))
	}
	return addrs, ok
}

func (m table) Reverse(_, addr netip.Addr) []string {
	var names []string
	for name, addrs := range m {
		if slices.Contains(addrs, addr.String()) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (table) Servers(netip.Addr) []netip.Addr { return nil }

// world is the servers of the world, by address: what they say to a query, nil for
// nothing. It counts what they are asked.
type world struct {
	mu     sync.Mutex
	say    map[string]func(network string, query []byte) []byte
	asked  []string
	opened int
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	w.mu.Lock()
	defer w.mu.Unlock()
	say, ok := w.say[host]
	if !ok {
		return nil, errors.New("network is unreachable")
	}
	w.opened++
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		query := make([]byte, 65535)
		n, err := theirs.Read(query)
		if err == nil && network == "tcp" {
			m, rerr := io.ReadFull(theirs, query[n:2+int(binary.BigEndian.Uint16(query))])
			query, err = query[2:n+m], rerr
			if n+m == 2+len(query) {
				err = nil
			}
		} else {
			query = query[:n]
		}
		if err != nil {
			return
		}
		w.mu.Lock()
		w.asked = append(w.asked, host+" "+network)
		w.mu.Unlock()
		answer := say(network, query)
		if answer == nil {
			<-ctx.Done()
			return
		}
		if network == "tcp" {
			answer = append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)
		}
		_, _ = theirs.Write(answer)
		<-ctx.Done() // a socket of UDP does not end
	}()
	return ours, nil
}

func (w *world) questions() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := strings.Join(w.asked, ", ")
	w.asked = nil
	return out
}

// says is a server that answers every query with code, and n addresses.
func says(code dnsmessage.RCode, n int) func(string, []byte) []byte {
	return func(_ string, q []byte) []byte {
		m, _ := parseQuery(q)
		m.header.AuthenticData = true
		return m.must(code, n)
	}
}

func (m *query) must(code dnsmessage.RCode, n int) []byte {
	out, err := m.build(code, func(b *dnsmessage.Builder) error {
		for i := range n {
			h := dnsmessage.ResourceHeader{Name: m.question.Name, Class: dnsmessage.ClassINET, TTL: 300}
			if err := b.AResource(h, dnsmessage.AResource{A: [4]byte{192, 0, 2, byte(i)}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	return out
}

func ask(name string, t dnsmessage.Type, udpSize int) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 0x1234, RecursionDesired: true})
	_ = b.StartQuestions()
	_ = b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: t, Class: dnsmessage.ClassINET})
	if udpSize > 0 {
		_ = b.StartAdditionals()
		var h dnsmessage.ResourceHeader
		_ = h.SetEDNS0(udpSize, 0, false)
		_ = b.OPTResource(h, dnsmessage.OPTResource{})
	}
	msg, err := b.Finish()
	if err != nil {
		panic(err)
	}
	return msg
}

// brief is an answer in few words.
func brief(msg []byte) string {
	if msg == nil {
		return "nothing"
	}
	var m dnsmessage.Message
	if err := m.Unpack(msg); err != nil {
		return "malformed: " + err.Error()
	}
	if m.ID != 0x1234 || !m.Response {
		return fmt.Sprintf("not an answer: %+v", m.Header)
	}
	words := []string{strings.TrimPrefix(m.RCode.String(), "RCode")}
	if m.Truncated {
		words = append(words, "truncated")
	}
	var answers []string
	for _, r := range m.Answers {
		switch b := r.Body.(type) {
		case *dnsmessage.AResource:
			answers = append(answers, netip.AddrFrom4(b.A).String())
		case *dnsmessage.AAAAResource:
			answers = append(answers, netip.AddrFrom16(b.AAAA).String())
		case *dnsmessage.PTRResource:
			answers = append(answers, b.PTR.String())
		}
	}
	slices.Sort(answers)
	return strings.Join(append(words, answers...), " ")
}

func query1(r *Resolver, proto slirp.Proto, msg []byte) string {
	return brief(r.Answer(context.WithoutCancel(context.TODO()), slirp.DNSQuery{Guest: netip.MustParseAddrPort("10.1.0.9:4000"), Proto: proto, Msg: msg}))
}

func conf(t *testing.T, lines ...string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

// Names of containers are answered here and told to nobody, whatever is asked
// about them.
func TestLocalNames(t *testing.T) {
	w := &world{say: map[string]func(string, []byte) []byte{"192.0.2.53": says(0, 1)}}
	r := New(Config{
		Members: table{"web": {"10.1.0.2", "fd01::2"}, "db": {"10.1.0.3"}, "both": {"10.1.0.2", "10.1.0.3"}, "off": nil, "db.example.org": {"10.1.0.3"}},
		Subnets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd01::/64")},
		Host:    []netip.Addr{netip.MustParseAddr("10.1.0.1")}, Gateway: []netip.Addr{netip.MustParseAddr("10.1.0.1")},
		ResolvConf: conf(t, "nameserver 192.0.2.53", "search corp.example."), Dial: w.dial,
	})
	const a, aaaa, ptr, mx = dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypePTR, dnsmessage.TypeMX
	for _, tc := range []struct {
		name string
		t    dnsmessage.Type
		want string
	}{
		{"web.", a, "Success 10.1.0.2"},
		{"WeB.", aaaa, "Success fd01::2"},
		{"web.", dnsmessage.TypeALL, "Success 10.1.0.2 fd01::2"},
		{"web.", mx, "Success"},
		{"db.", aaaa, "Success"},
		{"both.", a, "Success 10.1.0.2 10.1.0.3"},
		{"db.example.org.", a, "Success 10.1.0.3"},
		{"off.", a, "NameError"},
		{"nobody.", a, "NameError"},
		{"web.corp.example.", a, "NameError"},
		{"off.corp.example.", aaaa, "NameError"},
		{"host.containers.internal.", a, "Success 10.1.0.1"},
		{"host.docker.internal.", aaaa, "Success"},
		{"_gateway.", a, "Success 10.1.0.1"},
		{"localhost.", aaaa, "Success ::1"},
		{"x.localhost.", a, "Success 127.0.0.1"},
		{"2.0.1.10.in-addr.arpa.", ptr, "Success both. web."},
		{"9.0.1.10.in-addr.arpa.", ptr, "NameError"},
		{"1.0.1.10.in-addr.arpa.", ptr, "Success _gateway."},
		{"2." + strings.Repeat("0.", 23) + "0.0.0.0.1.0.d.f.ip6.arpa.", ptr, "Success web."},
	} {
		for _, proto := range []slirp.Proto{slirp.UDP, slirp.TCP} {
			if got := query1(r, proto, ask(tc.name, tc.t, 0)); got != tc.want {
				t.Errorf("%s %s %s: got %q, want %q", proto, tc.name, tc.t, got, tc.want)
			}
		}
	}
	if q := w.questions(); q != "" {
		t.Errorf("a server was asked: %s", q)
	}
	// What is not local is asked for.
	for name, ty := range map[string]dnsmessage.Type{"example.org.": a, "com.": dnsmessage.TypeNS, "corp.example.": a, "1.2.0.192.in-addr.arpa.": ptr, ".": dnsmessage.TypeNS} {
		if got := query1(r, slirp.UDP, ask(name, ty, 0)); got != "Success 192.0.2.0" {
			t.Errorf("%s: %s", name, got)
		}
	}
	closed := New(Config{Closed: true, ResolvConf: conf(t, "nameserver 192.0.2.53"), Dial: w.dial})
	w.questions()
	if got := query1(closed, slirp.UDP, ask("example.org.", a, 0)); got != "NameError" || w.questions() != "" {
		t.Errorf("without a way out: %s", got)
	}
}

// A server that says nothing costs a second, once; one that fails, nothing.
func TestFailover(t *testing.T) {
	for _, tc := range []struct {
		name  string
		first func(string, []byte) []byte
		want  string
		took  time.Duration
	}{
		{"silent", func(string, []byte) []byte { return nil }, "Success 192.0.2.0", time.Second},
		{"failing", says(dnsmessage.RCodeServerFailure, 0), "Success 192.0.2.0", 0},
		{"refusing", says(dnsmessage.RCodeRefused, 0), "Success 192.0.2.0", 0},
		{"forged", func(_ string, q []byte) []byte { q[2] |= 0x80; q[0]++; return q }, "Success 192.0.2.0", time.Second},
		{"knows that there is none", says(dnsmessage.RCodeNameError, 0), "NameError", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{say: map[string]func(string, []byte) []byte{"192.0.2.1": tc.first, "192.0.2.2": says(0, 1)}}
			r := New(Config{Servers: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}, Dial: w.dial, ResolvConf: []string{}})
			begin := time.Now()
			if got := query1(r, slirp.UDP, ask("example.org.", dnsmessage.TypeA, 0)); got != tc.want || time.Since(begin) != tc.took {
				t.Errorf("%s: got %q after %s, want %q after %s", tc.name, got, time.Since(begin), tc.want, tc.took)
			}
			// The one that answered is the one to ask.
			begin = time.Now()
			if got := query1(r, slirp.UDP, ask("example.org.", dnsmessage.TypeA, 0)); got != tc.want || time.Since(begin) != 0 {
				t.Errorf("%s, again: got %q after %s", tc.name, got, time.Since(begin))
			}
		})
	}
}

// Offline, the answer is immediate; a silence ends in time; and no more than some
// are asked for at once.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := func(string, []byte) []byte { return nil }
		w := &world{say: map[string]func(string, []byte) []byte{"192.0.2.1": silent}}
		msg := ask("example.org.", dnsmessage.TypeA, 0)
		begin := time.Now()
		for _, servers := range [][]netip.Addr{nil, {netip.MustParseAddr("198.51.100.1")}} {
			r := New(Config{Servers: servers, Dial: w.dial, ResolvConf: []string{"/nonexistent"}})
			if got := query1(r, slirp.UDP, msg); got != "ServerFailure" || time.Since(begin) != 0 {
				t.Errorf("offline: %q after %s", got, time.Since(begin))
			}
		}
		r := New(Config{Servers: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Dial: w.dial, ResolvConf: []string{}, InFlight: 3})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if got := query1(r, slirp.UDP, msg); got != "ServerFailure" || time.Since(begin) != giveUp {
					t.Errorf("silence: %q after %s", got, time.Since(begin))
				}
			})
		}
		synctest.Wait()
		if got := query1(r, slirp.UDP, msg); got != "ServerFailure" || time.Since(begin) != 0 {
			t.Errorf("one too many: %q after %s", got, time.Since(begin))
		}
		wg.Wait()
		synctest.Wait()
	})
}

// An answer that a client has no room for is truncated, and whole over TCP.
func TestLongAnswers(t *testing.T) {
	w := &world{say: map[string]func(string, []byte) []byte{"192.0.2.1": says(0, 60)}}
	many := []string{}
	for i := range 60 {
		many = append(many, fmt.Sprint("10.1.0.", i))
	}
	r := New(Config{Servers: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Members: table{"many": many}, Dial: w.dial, ResolvConf: []string{}})
	for _, name := range []string{"example.org.", "many."} {
		if got := query1(r, slirp.UDP, ask(name, dnsmessage.TypeA, 0)); got != "Success truncated" {
			t.Errorf("%s: %s", name, got)
		}
		if got := query1(r, slirp.UDP, ask(name, dnsmessage.TypeA, 4096)); strings.Count(got, ".") != 180 {
			t.Errorf("%s with room: %s", name, got)
		}
		if got := query1(r, slirp.TCP, ask(name, dnsmessage.TypeA, 0)); strings.Count(got, ".") != 180 {
			t.Errorf("%s over TCP: %s", name, got)
		}
	}
	if q := w.questions(); q != "192.0.2.1 udp, 192.0.2.1 udp, 192.0.2.1 tcp" {
		t.Errorf("asked %s", q)
	}
}

// A change of resolv.conf is noticed by the next query.
func TestHostChanges(t *testing.T) {
	w := &world{say: map[string]func(string, []byte) []byte{"192.0.2.1": says(0, 1), "192.0.2.2": says(0, 2)}}
	paths := conf(t, "nameserver 192.0.2.1")
	r := New(Config{Dial: w.dial, ResolvConf: append([]string{filepath.Join(t.TempDir(), "gone")}, paths...)})
	msg := ask("example.org.", dnsmessage.TypeA, 0)
	if got := query1(r, slirp.UDP, msg); got != "Success 192.0.2.0" {
		t.Fatal(got)
	}
	if err := os.WriteFile(paths[0]+".new", []byte("nameserver 192.0.2.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(paths[0]+".new", paths[0]); err != nil {
		t.Fatal(err)
	}
	if got := query1(r, slirp.UDP, msg); got != "Success 192.0.2.0 192.0.2.1" {
		t.Errorf("after the file was replaced: %s", got)
	}
	if err := os.WriteFile(paths[0], []byte("nameserver 192.0.2.1\n"), 0o600); err != nil { // the same length, at once
		t.Fatal(err)
	}
	if got := query1(r, slirp.UDP, msg); got != "Success 192.0.2.0" {
		t.Errorf("after the file was written: %s", got)
	}
}

func TestParseResolvConf(t *testing.T) {
	servers, search := ParseResolvConf("# nameserver 9.9.9.9\nsearch old\nnameserver 192.0.2.1 ; c\nnameserver fe80::1%eth0\nnameserver x\nnameserver 192.0.2.1\noptions ndots:5\nsearch Corp.Example. b\n")
	if got := fmt.Sprint(servers, search); got != "[192.0.2.1 fe80::1%eth0] [corp.example b]" {
		t.Error(got)
	}
}

func TestRefused(t *testing.T) {
	r := New(Config{ResolvConf: []string{}})
	chaos := ask("version.bind.", dnsmessage.TypeTXT, 0)
	chaos[len(chaos)-1] = 3
	notify := ask("a.", dnsmessage.TypeA, 0)
	notify[2] |= 4 << 3
	two := ask("a.", dnsmessage.TypeA, 0)
	two[5] = 2
	answer := ask("a.", dnsmessage.TypeA, 0)
	answer[2] |= 0x80
	pointer := append(slices.Clone(two[:12]), 0xc0, 0, 0, 1, 0, 1)
	pointer[5] = 1
	for name, tc := range map[string]struct {
		msg  []byte
		want string
	}{
		"another class": {chaos, "Refused"}, "another operation": {notify, "NotImplemented"}, "two questions": {two, "FormatError"},
		"an answer": {answer, "nothing"}, "a stump": {answer[:11], "nothing"}, "a name that points": {pointer, "FormatError"},
	} {
		if got := query1(r, slirp.UDP, tc.msg); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

// Whatever guests and servers send, guests get an answer of theirs or none, and over
// UDP one that they have room for.
func FuzzAnswer(f *testing.F) {
	f.Add(ask("web.", dnsmessage.TypeA, 1232), says(0, 3)("udp", ask("web.", dnsmessage.TypeA, 0)), true)
	f.Add(ask("example.org.", dnsmessage.TypeA, 0), says(0, 60)("udp", ask("example.org.", dnsmessage.TypeA, 0)), false)
	f.Fuzz(func(t *testing.T, msg, answer []byte, udp bool) {
		w := &world{say: map[string]func(string, []byte) []byte{"192.0.2.1": func(_ string, q []byte) []byte {
			says := slices.Clone(answer) // the fuzzer's own, which it uses again
			if len(says) >= 2 {
				copy(says, q[:2])
			}
			return append([]byte{}, says...)
		}}}
		r := New(Config{
			Servers: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Members: table{"web": {"10.1.0.2"}}, Dial: w.dial,
			ResolvConf: []string{}, Retry: time.Millisecond, GiveUp: 2 * time.Millisecond, Outside: everything{t},
		})
		q := slirp.DNSQuery{Guest: netip.MustParseAddrPort("10.1.0.9:4000"), Proto: slirp.TCP, Msg: msg}
		if udp {
			q.Proto = slirp.UDP
		}
		got := r.Answer(t.Context(), q)
		if got == nil {
			return
		}
		if len(got) < headerLen || got[0] != msg[0] || got[1] != msg[1] || got[2]&0x80 == 0 || udp && len(got) > mostUDP {
			t.Errorf("% x\nanswered with % x", msg, got)
		}
	})
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 1.2.3.4\nsearch a b\n")
	f.Fuzz(func(t *testing.T, text string) {
		servers, search := ParseResolvConf(text)
		if len(servers) > maxServers || slices.Contains(search, "") {
			t.Errorf("%q: %v %v", text, servers, search)
		}
	})
}
