package netd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/libpod/netd"
	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp/slirptest"
	"github.com/nook-containers/nook/userns"
)

// patience bounds what takes milliseconds.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if os.Args[0] == member.Name {
		os.Exit(process())
	}
	slirptest.Main(m)
}

// process is what cmd/nook does for that name.
func process() int {
	if err := userns.Ready(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := syscall.SetNonblock(member.ListenFD, true); err != nil {
		return 1
	}
	l, err := sys.Adopt(member.ListenFD, "socket")
	if err == nil {
		err = netd.Serve(context.Background(), os.Args[1], l)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

var subnet = netip.MustParsePrefix("10.99.0.0/24")

func testNetwork() *spec.Network {
	return &spec.Network{
		Version: spec.Version, Name: "test", ID: "0123", Driver: spec.BridgeDriver,
		Subnets: []spec.Subnet{ip.SubnetText(ip.Subnet{Prefix: subnet, Gateway: subnet.Addr().Next()})},
	}
}

func addr(n int) netip.Addr {
	a := subnet.Addr().As4()
	a[3] += byte(n)
	return netip.AddrFrom4(a)
}

func request(n int, ports ...spec.Port) member.Request {
	return member.Request{Op: member.Join, Network: testNetwork(), Ports: ports, Member: &member.Member{
		ID: "container" + strconv.Itoa(n), Name: "c" + strconv.Itoa(n), PID: os.Getpid(), IPv4: ip.Text(addr(n)),
		MAC: spec.MAC{2, 0, 0, 0, 0, byte(n)}, Interface: "eth0",
	}}
}

// A guest is a container that is in a network.
type guest struct {
	*slirptest.NS

	dir   string
	req   member.Request
	conn  *member.Conn
	net   *os.File
	ports []spec.Port
}

func join(t *testing.T, dir string, r member.Request) *guest {
	t.Helper()
	g := &guest{NS: slirptest.NewNS(t), dir: dir, req: r}
	g.enter(t)
	t.Cleanup(func() { g.conn.Close(); g.net.Close() })
	return g
}

func (g *guest) enter(t *testing.T) {
	t.Helper()
	files := []*os.File{g.File()}
	if g.net != nil {
		files = append(files, g.net)
	}
	conn, got, err := member.Enter(g.dir, g.req, files...)
	if err != nil {
		log, _ := os.ReadFile(member.LogPath(g.dir))
		t.Fatalf("%v\n%s", err, log)
	}
	g.conn, g.net, g.ports = conn, got.Files[0], got.Ports
}

func show(t *testing.T, dir string) *member.State {
	t.Helper()
	conn, err := member.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reply, _, err := conn.Ask(member.Request{Op: member.Show})
	if err != nil {
		t.Fatal(err)
	}
	return reply.State
}

func kill(t *testing.T, dir string) {
	t.Helper()
	p, err := sys.PidfdOpen(show(t, dir).PID)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := sys.PidfdSignal(p, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !sys.Ended(p, patience) {
		t.Fatal("the process does not end")
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("in vain: " + what)
}

// peers serves connections at l, and tells each client who it is.
func peers(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		_, _ = io.WriteString(c, host)
		c.Close()
	}
}

func ask(t *testing.T, from *slirptest.NS, to string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := dial(ctx, from, to)
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	return string(b), err
}

func dial(ctx context.Context, from *slirptest.NS, to string) (net.Conn, error) {
	if from == nil { // the host
		return new(net.Dialer).DialContext(ctx, "tcp", to)
	}
	return from.Dial(ctx, "tcp", to)
}

func want(t *testing.T, from *slirptest.NS, to, as string) {
	t.Helper()
	got, err := ask(t, from, to)
	if err != nil || got != as {
		t.Errorf("%s: it is seen as %q, %v; want %q", to, got, err, as)
	}
}

func tcp(host, container uint16) spec.Port {
	return spec.Port{HostPort: host, ContainerPort: container, Range: 1, Proto: spec.ProtoTCP}
}

func TestGuests(t *testing.T) {
	dir := t.TempDir()
	a := join(t, dir, request(2))
	b := join(t, dir, request(3, tcp(18081, 80)))
	go peers(b.Listen(t, "tcp", addr(3).String()+":80"))
	want(t, a.NS, addr(3).String()+":80", addr(2).String())
	want(t, slirptest.Server(), slirptest.Host4+":18081", slirptest.Router4)
	want(t, nil, "127.0.0.1:18081", addr(1).String()) // never 127.0.0.1 (CVE-2021-20199)
	out := slirptest.Server().Listen(t, "tcp", slirptest.Far4+":0")
	go peers(out)
	want(t, a.NS, out.Addr().String(), slirptest.Host4)

	b.conn.Close()
	eventually(t, "the port and the interface are gone", func() bool {
		_, err := ask(t, nil, "127.0.0.1:18081")
		up := b.Configure(func(nl *inet.Netlink) error { _, err := nl.LinkIndex("eth0"); return err }) == nil
		return errors.Is(err, syscall.ECONNREFUSED) && !up
	})
	if m := show(t, dir).Members; len(m) != 1 || m[0].ID != a.req.Member.ID {
		t.Errorf("members %+v, want a alone", m)
	}
}

// TestOne has many need the process at one time: there is one.
func TestOne(t *testing.T) {
	dir := t.TempDir()
	const crowd = 64
	pids := make([]int, crowd)
	var wg sync.WaitGroup
	for i := range crowd {
		wg.Go(func() { pids[i] = show(t, join(t, dir, request(i+2)).dir).PID })
	}
	wg.Wait()
	for _, p := range pids {
		if p != pids[0] {
			t.Fatalf("processes %v, want one", pids)
		}
	}
	if got := len(show(t, dir).Members); got != crowd {
		t.Errorf("%d members, want %d", got, crowd)
	}
}

// TestNext kills the process. Its members go on in the next one with the bridge,
// the interfaces and the ports that they have.
func TestNext(t *testing.T) {
	dir := t.TempDir()
	a, b := join(t, dir, request(2)), join(t, dir, request(3, tcp(0, 80)))
	go peers(b.Listen(t, "tcp", addr(3).String()+":80"))
	port := b.ports[0].HostPort
	if port == 0 {
		t.Fatal("no port was chosen")
	}
	inner := b.Listen(t, "tcp", addr(3).String()+":81")
	inside, err := a.Dial(t.Context(), "tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	first := show(t, dir).PID
	kill(t, dir)
	for _, g := range []*guest{a, b} {
		if _, err := g.conn.Next(); !member.Lost(err) {
			t.Errorf("after its death: %v, want that it is lost", err)
		}
		g.req.Member.Again, g.req.Ports = true, g.ports
		g.enter(t)
	}
	if now := show(t, dir).PID; now == first {
		t.Fatal("it lives")
	}
	if b.ports[0].HostPort != port {
		t.Errorf("port %d, want %d again", b.ports[0].HostPort, port)
	}
	want(t, nil, fmt.Sprintf("127.0.0.1:%d", port), addr(1).String())
	// What is between guests has not noticed.
	other, err := inner.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, _ = io.WriteString(inside, "x")
	if n, err := other.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("a connection between guests broke: %v", err)
	}
}

// TestLateHeir has a newcomer start the next process, and a member of the former
// come so late that there is another namespace by then: it is moved over.
func TestLateHeir(t *testing.T) {
	dir := t.TempDir()
	a := join(t, dir, request(2))
	kill(t, dir)
	b := join(t, dir, request(3))
	a.req.Member.Again = true
	a.enter(t)
	go peers(b.Listen(t, "tcp", addr(3).String()+":80"))
	want(t, a.NS, addr(3).String()+":80", addr(2).String())
}

// TestAgain has a container join while its former membership is not closed yet.
func TestAgain(t *testing.T) {
	dir := t.TempDir()
	a := join(t, dir, request(2, tcp(18082, 80)))
	b := join(t, dir, request(2, tcp(18082, 80)))
	go peers(b.Listen(t, "tcp", addr(2).String()+":80"))
	want(t, nil, "127.0.0.1:18082", addr(1).String())
	a.conn.Close()
	if m := show(t, dir).Members; len(m) != 1 {
		t.Errorf("members %+v, want one", m)
	}
	want(t, nil, "127.0.0.1:18082", addr(1).String())
}

func TestBusyPort(t *testing.T) {
	dir := t.TempDir()
	join(t, dir, request(2, tcp(18083, 80)))
	for name, p := range map[string]spec.Port{"c2": tcp(18083, 81), "": tcp(listening(t), 81)} {
		_, got, err := member.Enter(dir, request(3, tcp(18084, 82), p), slirptest.NewNS(t).File())
		e, ok := errors.AsType[*member.Error](err)
		if !ok || e.Code != member.CodeBusy || e.Busy == nil || e.Busy.HostPort != p.HostPort {
			t.Fatalf("port %d: %v, %+v", p.HostPort, err, got)
		}
		if name != "" && e.Text != fmt.Sprintf("publish *:%d/tcp: the port is in use by container %s", p.HostPort, name) {
			t.Errorf("it says %q, want the name of its holder", e.Text)
		}
	}
	if m := show(t, dir).Members; len(m) != 1 {
		t.Errorf("members %+v: one that failed is left", m)
	}
	if _, err := ask(t, nil, "127.0.0.1:18084"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the other port of one that failed: %v", err)
	}
}

// listening is a port of the host that somebody has.
func listening(t *testing.T) uint16 {
	t.Helper()
	l := slirptest.Host().Listen(t, "tcp", "127.0.0.1:0")
	return portOf(l)
}

func portOf(l net.Listener) uint16 { return netip.MustParseAddrPort(l.Addr().String()).Port() }

// TestHost reaches the host by the alias, and its loopback where that is allowed.
func TestHost(t *testing.T) {
	dir := t.TempDir()
	everywhere := slirptest.Host().Listen(t, "tcp", slirptest.Host4+":0")
	loopback := slirptest.Host().Listen(t, "tcp", "127.0.0.1:0")
	go peers(everywhere)
	go peers(loopback)
	at := func(l net.Listener) string { return netip.AddrPortFrom(network.HostAlias(), portOf(l)).String() }
	a := join(t, dir, request(2))
	r := request(3)
	r.Member.Host.Ports = []spec.PortRange{{First: portOf(loopback), Last: portOf(loopback)}}
	b := join(t, dir, r)
	want(t, a.NS, at(everywhere), slirptest.Host4)
	want(t, b.NS, at(everywhere), slirptest.Host4)
	want(t, b.NS, at(loopback), "127.0.0.1")
	if _, err := ask(t, a.NS, at(loopback)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the loopback without being asked: %v", err)
	}
}

func TestPublishLive(t *testing.T) {
	dir := t.TempDir()
	a := join(t, dir, request(2))
	go peers(a.Listen(t, "tcp", addr(2).String()+":80"))
	other, err := member.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	reply, _, err := other.Ask(member.Request{Op: member.Publish, Of: a.req.Member.ID, Ports: []spec.Port{tcp(0, 80)}})
	if err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("127.0.0.1:%d", reply.Ports[0].HostPort)
	want(t, nil, at, addr(1).String())
	if _, _, err := other.Ask(member.Request{Op: member.Unpublish, Of: a.req.Member.ID, Ports: reply.Ports}); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, nil, at); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after unpublish: %v", err)
	}
	if _, _, err := other.Ask(member.Request{Op: member.Unpublish, Of: "nobody"}); !isCode(err, member.CodeGone) {
		t.Errorf("of nobody: %v", err)
	}
	if _, _, err := other.Ask(member.Request{Op: "dance"}); !errors.Is(err, member.ErrOldProcess) {
		t.Errorf("an unknown operation: %v", err)
	}
}

func isCode(err error, code string) bool {
	e, ok := errors.AsType[*member.Error](err)
	return ok && e.Code == code
}

// TestCrowd has a thousand clients at one time, each of which must have all its
// bytes back.
func TestCrowd(t *testing.T) {
	const crowd = 1000
	dir := t.TempDir()
	a := join(t, dir, request(2, tcp(18085, 80)))
	l := a.Listen(t, "tcp", addr(2).String()+":80")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	var all, here sync.WaitGroup
	here.Add(crowd)
	for i := range crowd {
		all.Go(func() {
			c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:18085")))
			here.Done()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			here.Wait()
			text := fmt.Sprintf("client %d", i)
			_, _ = io.WriteString(c, text)
			_ = c.CloseWrite()
			if got, err := io.ReadAll(c); string(got) != text {
				t.Errorf("%q, %v; want %q", got, err, text)
			}
		})
	}
	all.Wait()
}

// TestMemberFD compares what package member must know and may not import.
func TestMemberFD(t *testing.T) {
	if member.MemberFD != userns.MemberFD {
		t.Errorf("%d, userns has %d", member.MemberFD, userns.MemberFD)
	}
}
