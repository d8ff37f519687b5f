package netd_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp/slirptest"
)

// nameServer answers every name with the addresses that are far away, until the test
// ends.
func nameServer(t *testing.T) {
	t.Helper()
	var conn net.PacketConn
	err := sys.InNetNS(slirptest.Server().File(), func() (err error) {
		conn, err = net.ListenPacket("udp", slirptest.Far4+":53")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(farAnswer(buf[:n]), from)
		}
	}()
}

func farAnswer(query []byte) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}
	if q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: netip.MustParseAddr(slirptest.Far4).As4()}}}
	}
	m.Response, m.Additionals = true, nil
	out, _ := m.Pack()
	return out
}

// limited is a request of a guest with rules, in a network that has some too and
// asks nameServer for names.
func limited(t *testing.T, n int, common, own string) member.Request {
	t.Helper()
	r := request(n)
	r.Network.DNS, r.Network.DNSServers = true, []spec.Addr{slirptest.Far4}
	for text, to := range map[string]*[]string{common: &r.Network.Egress, own: &r.Member.Egress} {
		if text != "" {
			*to = strings.Split(text, ",")
		}
	}
	r.Store = member.Store{Dir: t.TempDir(), Run: t.TempDir()}
	return r
}

// resolve looks a name up as a program of the guest does.
func resolve(g *guest, name string) error {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return g.Dial(ctx, "udp", addr(1).String()+":53")
	}}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := r.LookupNetIP(ctx, "ip4", name+".")
	return err
}

func wantRefused(t *testing.T, from *guest, to string) {
	t.Helper()
	got, err := ask(t, from.NS, to)
	if !errors.Is(err, syscall.EHOSTUNREACH) && !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%s: %q, %v; want it refused", to, got, err)
	}
}

func TestEgress(t *testing.T) {
	nameServer(t)
	dir := t.TempDir()
	out := slirptest.Server().Listen(t, "tcp", slirptest.Far4+":0")
	other := slirptest.Server().Listen(t, "tcp", slirptest.Far4+":0")
	host := slirptest.Host().Listen(t, "tcp", slirptest.Host4+":0")
	for _, l := range []net.Listener{out, other, host} {
		go peers(l)
	}
	to, atHost := out.Addr().String(), netip.AddrPortFrom(network.HostAlias(), portOf(host)).String()

	r := limited(t, 2, "", fmt.Sprintf("*.example.org:%d,host.containers.internal", portOf(out)))
	a := join(t, dir, r)
	wantRefused(t, a, to) // nobody has asked for the name yet
	if err := resolve(a, "evil.com"); err == nil {
		t.Error("a name that no rule has is found")
	}
	wantRefused(t, a, to)
	if err := resolve(a, "www.example.org"); err != nil {
		t.Fatal(err)
	}
	want(t, a.NS, to, slirptest.Host4)
	wantRefused(t, a, other.Addr().String())
	want(t, a.NS, atHost, slirptest.Host4)

	// Others of the network are not limited by it, nor helped.
	b := join(t, dir, request(3))
	want(t, b.NS, other.Addr().String(), slirptest.Host4)
	c := request(4)
	c.Member.Egress = []string{"none"}
	none := join(t, dir, c)
	wantRefused(t, none, to)
	wantRefused(t, none, atHost)
	if err := resolve(none, "www.example.org"); err == nil {
		t.Error("with none a name is found")
	}
	go peers(b.Listen(t, "tcp", addr(3).String()+":80"))
	want(t, none.NS, addr(3).String()+":80", addr(4).String())

	// A guest that takes an address that is nobody's gains nothing.
	none.MustConfigure(t, func(nl *inet.Netlink) error { return nl.AddAddr("eth0", netip.PrefixFrom(addr(77), subnet.Bits())) })
	err := sys.InNetNS(none.File(), func() error {
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: addr(77).AsSlice()}}
		_, err := from.DialContext(t.Context(), "tcp", to)
		return err
	})
	if !errors.Is(err, syscall.EHOSTUNREACH) && !errors.Is(err, syscall.EACCES) {
		t.Errorf("from another address: %v, want it refused", err)
	}

	// Each place is told of once.
	wantRefused(t, a, other.Addr().String())
	var told []string
	err = (events.Log{Dir: r.Store.Dir + "/events"}).Read(t.Context(), events.Query{}, func(e events.Event) error {
		told = append(told, e.Type+" "+e.Action+" "+e.Attributes["containerName"]+" "+e.Attributes["destination"])
		return nil
	})
	wanted := []string{
		"network egress-refused c2 " + to + "/tcp", "network egress-refused c2 evil.com", "network egress-refused c2 " + other.Addr().String() + "/tcp",
		"network egress-refused c4 " + to + "/tcp", "network egress-refused c4 " + atHost + "/tcp", "network egress-refused c4 www.example.org",
	}
	if err != nil || strings.Join(told, "\n") != strings.Join(wanted, "\n") {
		t.Errorf("%v; told\n%s\nwant\n%s", err, strings.Join(told, "\n"), strings.Join(wanted, "\n"))
	}
	log, err := os.ReadFile(member.LogPath(dir))
	if err != nil || strings.Count(string(log), "egress refused") != len(wanted) {
		t.Errorf("%v; the log of the process has\n%s", err, log)
	}
}

// TestEgressOfNetwork: both a network and a container must allow a flow.
func TestEgressOfNetwork(t *testing.T) {
	nameServer(t)
	dir := t.TempDir()
	out := slirptest.Server().Listen(t, "tcp", slirptest.Far4+":0")
	go peers(out)
	const far = slirptest.Far4 + "/32"
	a, b := join(t, dir, limited(t, 2, far, "")), join(t, dir, limited(t, 3, far, "198.51.100.0/24"))
	c := join(t, dir, limited(t, 4, far, "0.0.0.0/0,www.example.org"))
	want(t, a.NS, out.Addr().String(), slirptest.Host4)
	wantRefused(t, b, out.Addr().String())
	want(t, c.NS, out.Addr().String(), slirptest.Host4)
	if err := resolve(c, "www.example.org"); err == nil {
		t.Error("a name that the network does not allow is found")
	}
}

// TestEgressAgain kills the process. Who is not back yet has no rights in the next
// one, whoever else is, and what it may it gets as soon as it is back.
func TestEgressAgain(t *testing.T) {
	dir := t.TempDir()
	out := slirptest.Server().Listen(t, "tcp", slirptest.Far4+":0")
	go peers(out)
	plain, some, none := join(t, dir, request(2)), join(t, dir, limited(t, 3, "", slirptest.Far4)), join(t, dir, limited(t, 4, "", "none"))
	kill(t, dir)
	again := func(g *guest) {
		g.req.Member.Again = true
		g.enter(t)
	}
	again(plain)
	before := show(t, dir).Stats.FramesIn
	early := make(chan string, 1)
	go func() {
		got, err := ask(t, some.NS, out.Addr().String())
		early <- fmt.Sprint(got, " ", err)
	}()
	eventually(t, "the connection is waited for", func() bool { return show(t, dir).Stats.FramesIn > before })
	again(some)
	if got := <-early; got != slirptest.Host4+" <nil>" {
		t.Errorf("a connection made before its guest was back: %s", got)
	}
	wantRefused(t, none, out.Addr().String())
	again(none)
	wantRefused(t, none, out.Addr().String())
	want(t, plain.NS, out.Addr().String(), slirptest.Host4)
}
