package slirptest

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/slirp"
)

// freePort is a TCP port of the host that nobody listens on.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l := Host().Listen(t, "tcp", "0.0.0.0:0")
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

func testPublishTCP(t *testing.T, s Suite) {
	cfg := s.Config
	cfg.Host.Addrs = !s.Backend.Features().HostAddrs
	guest, n := s.start(t, cfg)
	web := guest.Listen(t, "tcp", ":80")
	want := slirp.Port{Proto: slirp.TCP, HostPort: freePort(t), Guest: s.addrs(), GuestPort: 80}
	p, err := n.Publish(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(n.Ports(), []slirp.Port{p}, slirp.Port.Same) {
		t.Errorf("published %v, list %v", p, n.Ports())
	}
	at := join(Host4, strconv.Itoa(int(p.HostPort)))
	ch := accept(t, web)
	client := dial(t, Server(), "tcp", at).(*net.TCPConn)
	inside := <-ch
	data := noise(9, 3<<20)
	go func() {
		_, _ = client.Write(data)
		_ = client.CloseWrite()
	}()
	if got, err := io.ReadAll(inside); err != nil || !slices.Equal(got, data) {
		t.Errorf("%d bytes arrived, %v; want %d", len(got), err, len(data))
	}
	_, _ = inside.Write([]byte("thanks"))
	inside.Close()
	if got, err := io.ReadAll(client); err != nil || string(got) != "thanks" {
		t.Errorf("%q came back, %v", got, err)
	}

	if err := n.Unpublish(p); err != nil {
		t.Fatal(err)
	}
	if len(n.Ports()) != 0 {
		t.Errorf("list %v after unpublish", n.Ports())
	}
	wantDialError(t, Server(), at, syscall.ECONNREFUSED)
	if _, err := n.Publish(t.Context(), want); err != nil {
		t.Errorf("publish again: %v", err)
	}
}

// testPublishSources wants guests to see clients as they are, and local ones as the
// gateway.
func testPublishSources(t *testing.T, s Suite) {
	guest, n := s.start(t, s.Config)
	// 203.0.113.10 is a client that is not on the host's own network.
	for _, f := range s.families() {
		gw := f.subnet.Gateway.String()
		addr := GuestAddr(f.subnet, s.Guest)
		p, err := n.Publish(t.Context(), slirp.Port{Proto: slirp.TCP, Guest: []netip.Addr{addr}, GuestPort: 81})
		if err != nil {
			t.Fatal(err)
		}
		port := strconv.Itoa(int(p.HostPort))
		for _, c := range []struct {
			from     *NS
			to, want string
		}{
			{Server(), join(f.host, port), map[string]string{"IPv4": Router4, "IPv6": Router6}[f.name]},
			{nil, join(f.loopback, port), gw},
			{nil, join(f.host, port), f.host},
		} {
			l := guest.Listen(t, "tcp", join(addr.String(), "81"))
			ch := accept(t, l)
			client, err := c.from.dialFrom(t, c.to)
			if err != nil {
				t.Fatal(err)
			}
			inside, ok := <-ch
			if !ok {
				t.Fatal("nobody came")
			}
			if got := inside.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().String(); got != c.want {
				t.Errorf("%s: guest sees %s, want %s", c.to, got, c.want)
			}
			client.Close()
			inside.Close()
			l.Close()
		}
	}
	// A client of the other family comes from the gateway.
	p, err := n.Publish(t.Context(), slirp.Port{Proto: slirp.TCP, Guest: s.addrs()[:1], GuestPort: 82})
	if err != nil {
		t.Fatal(err)
	}
	l := guest.Listen(t, "tcp", ":82")
	ch := accept(t, l)
	dial(t, Server(), "tcp", join(Host6, strconv.Itoa(int(p.HostPort))))
	if got := (<-ch).RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(); got != s.families()[0].subnet.Gateway {
		t.Errorf("guest sees %s, want the gateway", got)
	}
}

func (n *NS) dialFrom(t *testing.T, addr string) (c net.Conn, err error) {
	t.Helper()
	err = n.do(func() (err error) {
		d := net.Dialer{Timeout: patience}
		c, err = d.DialContext(t.Context(), "tcp", addr)
		return err
	})
	return c, err
}

func testPublishUDP(t *testing.T, s Suite) {
	guest, n := s.start(t, s.Config)
	for _, f := range s.families() {
		addr := GuestAddr(f.subnet, s.Guest)
		srv := guest.ListenPacket(t, "udp", join(addr.String(), "0"))
		p, err := n.Publish(t.Context(), slirp.Port{
			Proto: slirp.UDP, Guest: []netip.Addr{addr}, GuestPort: srv.LocalAddr().(*net.UDPAddr).AddrPort().Port(),
		})
		if err != nil {
			t.Fatal(err)
		}
		seen := make(chan netip.AddrPort, 1000)
		go func() {
			b := make([]byte, 65536)
			for {
				n, from, err := srv.ReadFromUDPAddrPort(b)
				if err != nil {
					return
				}
				seen <- from
				_, _ = srv.WriteToUDPAddrPort(b[:n], from)
			}
		}()
		// The client's socket is connected: it takes answers only from the address that
		// it wrote to.
		clients := map[string]bool{}
		for _, size := range []int{5, 5000} {
			c := dial(t, Server(), "udp", join(f.host, strconv.Itoa(int(p.HostPort))))
			ask(t, c, noise(4, size))
			// What was sent twice may come twice, and late.
			clients[c.LocalAddr().String()] = false
			for !clients[c.LocalAddr().String()] {
				got := (<-seen).String()
				if _, ok := clients[got]; !ok {
					t.Fatalf("guest sees %s, want one of %v", got, clients)
				}
				clients[got] = true
			}
		}
		// Two clients on the host's loopback are two for the guest, too.
		for len(seen) > 0 {
			<-seen
		}
		from := map[netip.AddrPort]bool{}
		for range 2 {
			c, err := net.Dial("udp", join(f.loopback, strconv.Itoa(int(p.HostPort))))
			if err != nil {
				t.Fatal(err)
			}
			ask(t, c, []byte("local"))
			c.Close()
		}
		for len(seen) > 0 {
			a := <-seen
			from[a] = true
			if a.Addr() != f.subnet.Gateway {
				t.Errorf("guest sees %s, want the gateway", a)
			}
		}
		if len(from) != 2 {
			t.Errorf("two clients look like %v", from)
		}
		if err := n.Unpublish(p); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "flows end with their port", func() bool { return n.Stats().UDP.Active == 0 })
}

func testPublishErrors(t *testing.T, s Suite) {
	cfg := s.Config
	cfg.Host.Addrs = !s.Backend.Features().HostAddrs
	guest, n := s.start(t, cfg)
	p := slirp.Port{Proto: slirp.TCP, HostIP: netip.MustParseAddr(Host4), HostPort: freePort(t), Guest: s.addrs()[:1], GuestPort: 80}
	if _, err := n.Publish(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Publish(t.Context(), p); !errors.Is(err, slirp.ErrPublished) {
		t.Errorf("publish twice: %v", err)
	}
	other := p
	other.HostPort++
	if err := n.Unpublish(other); !errors.Is(err, slirp.ErrNotPublished) {
		t.Errorf("unpublish what is not: %v", err)
	}
	if err := n.Unpublish(p); err != nil {
		t.Error(err)
	}
	busy := Host().Listen(t, "tcp", join(Host4, "0"))
	p.HostPort = busy.Addr().(*net.TCPAddr).AddrPort().Port()
	if _, err := n.Publish(t.Context(), p); err == nil {
		t.Error("a busy port was published")
	} else if s.Backend.Features().ManyGuests && (!errors.Is(err, syscall.EADDRINUSE) || problem.HintOf(err) == "") {
		t.Errorf("busy port: %v, hint %q", err, problem.HintOf(err))
	}
	if !s.Backend.Features().Refusals {
		return
	}
	// The guest refuses: the client is reset.
	p.HostPort = 0
	p, err := n.Publish(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Server().Dial(t.Context(), "tcp", join(Host4, strconv.Itoa(int(p.HostPort))))
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a guest that refuses: %v, want a reset", err)
	}
	_ = guest
}
