package slirptest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nook-containers/nook/slirp"
)

// greet accepts connections on l, says hello and closes them.
func greet(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Write([]byte("hello"))
		c.Close()
	}
}

// greets dials addr from ns and reports whether somebody says hello.
func greets(t *testing.T, ns *NS, addr string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := ns.Dial(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer c.Close()
	n, _ := c.Read(make([]byte, 5))
	return n == 5
}

func testHostIsolation(t *testing.T, s Suite) {
	guest, n := s.start(t, s.Config)
	cfg := s.Config
	cfg.Host.Addrs = true
	open, _ := s.start(t, cfg)
	for _, f := range s.families() {
		var ports []string
		for _, a := range []string{f.loopback, f.host} {
			l := Host().Listen(t, "tcp", join(a, "0"))
			go greet(l)
			ports = append(ports, portOf(l.Addr()))
		}
		for _, port := range ports {
			for _, a := range []string{f.subnet.Gateway.String(), f.host, "198.51.100.255"} {
				if greets(t, guest, join(a, port)) {
					t.Errorf("guest reaches the host through %s port %s", a, port)
				}
			}
		}
		// The control: with access, the same address answers, and loopback does not.
		if !greets(t, open, join(f.host, ports[1])) {
			t.Errorf("%s: host address is out of reach though it is open", f.name)
		}
		if greets(t, open, join(f.subnet.Gateway.String(), ports[0])) {
			t.Errorf("%s: loopback is in reach", f.name)
		}
	}
	if n.Stats().TCP.Denied == 0 {
		t.Error("nothing was denied")
	}
}

func testHostAliases(t *testing.T, s Suite) {
	for _, f := range s.families() {
		a, b := Host().Listen(t, "tcp", join(f.loopback, "0")), Host().Listen(t, "tcp", join(f.loopback, "0"))
		go greet(a)
		go greet(b)
		port := a.Addr().(*net.TCPAddr).AddrPort().Port()
		cfg := s.Config
		cfg.Host.Aliases = []slirp.Alias{{
			Guest: f.subnet.Gateway, Host: netip.MustParseAddr(f.loopback), Ports: []slirp.PortRange{{First: port, Last: port}},
		}}
		guest, _ := s.start(t, cfg)
		if !greets(t, guest, join(f.subnet.Gateway.String(), portOf(a.Addr()))) {
			t.Errorf("%s: the alias does not lead to the host", f.name)
		}
		if greets(t, guest, join(f.subnet.Gateway.String(), portOf(b.Addr()))) {
			t.Errorf("%s: the alias leads to a port that it leaves out", f.name)
		}
	}
}

func testDNS(t *testing.T, s Suite) {
	var mu sync.Mutex
	var asked []slirp.DNSQuery
	cfg := s.Config
	cfg.DNS = func(_ context.Context, q slirp.DNSQuery) []byte {
		mu.Lock()
		defer mu.Unlock()
		q.Msg = slices.Clone(q.Msg)
		asked = append(asked, q)
		return append([]byte("answer to "), q.Msg...)
	}
	guest, n := s.start(t, cfg)
	for _, f := range s.families() {
		at := join(f.subnet.Gateway.String(), "53")
		u := dial(t, guest, "udp", at)
		_, _ = u.Write([]byte("udp"))
		b := make([]byte, 100)
		if size, err := u.Read(b); err != nil || string(b[:size]) != "answer to udp" {
			t.Errorf("%s UDP: %q, %v", f.name, b[:max(size, 0)], err)
		}
		c := dial(t, guest, "tcp", at)
		for range 2 { // on one connection
			_, _ = c.Write([]byte("\x00\x03tcp"))
			want := "\x00\x0danswer to tcp"
			got := make([]byte, len(want))
			if _, err := readFull(c, got); err != nil || string(got) != want {
				t.Errorf("%s TCP: %q, %v", f.name, got, err)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, q := range asked {
		if !slices.Contains(s.addrs(), q.Guest.Addr()) {
			t.Errorf("query from %s, want the guest", q.Guest)
		}
	}
	if n.Stats().DNSQueries != uint64(len(asked)) {
		t.Errorf("%d queries counted, %d asked", n.Stats().DNSQueries, len(asked))
	}
	// Without a handler nobody listens.
	none, _ := s.start(t, s.Config)
	wantDialError(t, none, join(s.families()[0].subnet.Gateway.String(), "53"), syscall.ECONNREFUSED)
}

func readFull(c net.Conn, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = c.Read(b[n:])
		n += k
	}
	return n, err
}

func testEgress(t *testing.T, s Suite) {
	var mu sync.Mutex
	var seen []slirp.Flow
	cfg := s.Config
	cfg.Egress = func(_ context.Context, f slirp.Flow) slirp.Verdict {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, f)
		if f.Dst.Port() == 1 {
			return slirp.Reject
		}
		return slirp.Allow
	}
	guest, n := s.start(t, cfg)
	l := Server().Listen(t, "tcp", join(Far4, "0"))
	go greet(l)
	if !greets(t, guest, l.Addr().String()) {
		t.Error("an allowed flow does not pass")
	}
	for _, f := range s.families() {
		wantDialError(t, guest, join(f.far, "1"), syscall.EHOSTUNREACH, syscall.EACCES)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) == 0 || seen[0].Dst.String() != l.Addr().String() || seen[0].Src.Addr() != s.addrs()[0] || seen[0].Proto != slirp.TCP {
		t.Errorf("asked about %+v", seen)
	}
	if n.Stats().TCP.Denied == 0 {
		t.Error("nothing was counted as denied")
	}
}

// testFeatures wants an error for everything that a backend says it lacks.
func testFeatures(t *testing.T, s Suite) {
	f := s.Backend.Features()
	for name, c := range map[string]struct {
		have bool
		set  func(*slirp.Config)
	}{
		"a DNS handler":   {f.DNSHook, func(c *slirp.Config) { c.DNS = func(context.Context, slirp.DNSQuery) []byte { return nil } }},
		"an egress hook":  {f.Egress, func(c *slirp.Config) { c.Egress = func(context.Context, slirp.Flow) slirp.Verdict { return 0 } }},
		"host protection": {f.HostAddrs, func(c *slirp.Config) { c.Host.Addrs = false }},
		"IPv6":            {f.IPv6, func(c *slirp.Config) { c.IPv6 = Config().IPv6 }},
	} {
		if c.have {
			continue
		}
		cfg := s.Config
		cfg.Host.Addrs = true
		c.set(&cfg)
		_, link := s.link(t)
		if n, err := s.Backend.Start(t.Context(), link, cfg); !errors.Is(err, slirp.ErrFeature) {
			t.Errorf("%s: %v, want ErrFeature", name, err)
			if err == nil {
				n.Close()
			}
		}
	}
	_, link := s.link(t)
	bad := s.Config
	bad.MTU = 100
	if n, err := s.Backend.Start(t.Context(), link, bad); err == nil {
		n.Close()
		t.Error("an MTU of 100 is taken")
	}
}

// testClose starts and closes networks with flows of every kind, and wants nothing
// to be left of them.
func testClose(t *testing.T, s Suite) {
	cfg := s.Config
	cfg.Host.Addrs = !s.Backend.Features().HostAddrs
	srv := Server().ListenPacket(t, "udp", join(Far4, "0"))
	go echoUDP(srv)
	round := func() {
		guest, link := s.link(t)
		n, err := s.Backend.Start(t.Context(), link, cfg)
		if err != nil {
			t.Fatal(err)
		}
		Address(t, guest, "tap0", cfg.WithDefaults(), s.Guest)
		if s.Backend.Features().Publish {
			if _, err := n.Publish(t.Context(), slirp.Port{Proto: slirp.TCP, HostPort: 18080, Guest: s.addrs()[:1], GuestPort: 80}); err != nil {
				t.Fatal(err)
			}
		}
		l := Server().Listen(t, "tcp", join(Far4, "0"))
		in, out := pair(t, guest, l, l.Addr().String())
		u := dial(t, guest, "udp", srv.LocalAddr().String())
		ask(t, u, []byte("x"))
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if err := n.Err(); err != nil {
			t.Errorf("after close: %v", err)
		}
		<-n.Done()
		for _, c := range []interface{ Close() error }{in, out, u, l, guest.f} {
			_ = c.Close()
		}
	}
	round() // what is made once for a process
	fds, routines := descriptors(t), runtime.NumGoroutine()
	for range 3 {
		round()
	}
	eventually(t, "no descriptor is left", func() bool { return descriptors(t) <= fds })
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= routines })
	if t.Failed() {
		buf := make([]byte, 1<<16)
		t.Logf("%s", buf[:runtime.Stack(buf, true)])
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range d {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(to, "anon_inode:[eventpoll]") {
			n++
		}
	}
	return n
}
