package relay

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/forward"
	"github.com/nook-containers/nook/slirp/internal/loop"
	"github.com/nook-containers/nook/slirp/slirptest"
)

func TestMain(m *testing.M) { slirptest.Main(m) }

const (
	headroom = 16
	mtu      = 1500
	patient  = 20 * time.Second // until a test fails
)

// A world is a relay, of whose guests the tests send and see every segment.
type world struct {
	t    *testing.T
	r    *Relay
	loop *loop.Loop
	out  chan seg

	mu      sync.Mutex
	dst     netip.AddrPort
	outcome forward.Outcome
	counts  [Closed + 1]int
	icmp    []forward.Outcome
}

// A seg is a segment in either direction.
type seg struct {
	seq, ack   seq
	flags      byte
	window     int
	mss, scale int // of a SYN; no options where mss is 0, no scale where it is -1
	sack       bool
	blocks     []seq // of what came after gaps
	data       string
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t, out: make(chan seg, 1<<16)}
	var err error
	if w.loop, err = loop.Start(nil); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Network: w, Loop: w.loop, Half: forward.NewGate(8, 8), Open: forward.NewGate(8, 8), MTU: mtu, Headroom: headroom,
		Budget: 64 << 20, ConnectWait: time.Minute, CallWait: time.Minute,
	}
	if change != nil {
		change(&cfg)
	}
	w.r = New(cfg)
	t.Cleanup(func() {
		w.do(w.r.Close)
		if n := w.r.Half.Count() + w.r.Open.Count() + len(w.r.flows) + w.count(Opened) - w.count(Closed); n != 0 {
			t.Errorf("%d things are left", n)
		}
		if err := w.loop.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) do(fn func()) { _ = w.loop.Sync(func() error { fn(); return nil }) }

func (w *world) Admit(_ slirp.Flow, then func(netip.AddrPort, forward.Outcome)) {
	w.mu.Lock()
	dst, outcome := w.dst, w.outcome
	w.mu.Unlock()
	then(dst, outcome)
}

func (w *world) Send(frame []byte, _, _ netip.AddrPort, _ int) {
	b := frame[headroom:]
	head := Header(b)
	s := Segment{Header: head}
	g := seg{seq: s.seq(), ack: s.ack(), flags: s.flags(), window: s.window(), data: string(b[len(head):])}
	if s.has(flagSYN) {
		g.mss, g.scale, g.sack = s.options()
	} else if len(head) > headerLen {
		for o := head[headerLen+4 : headerLen+2+int(head[headerLen+3])]; len(o) > 0; o = o[4:] {
			g.blocks = append(g.blocks, seq(binary.BigEndian.Uint32(o)))
		}
	}
	w.out <- g
}

func (w *world) Refuse(_ []byte, why forward.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.icmp = append(w.icmp, why)
}

func (w *world) Count(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[e]++
}

func (w *world) count(e Event) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts[e]
}

func (w *world) Moved(int, int) {}
func (w *world) Shortage(error) {}

var (
	guest  = netip.MustParseAddrPort("10.0.0.2:1000")
	remote = netip.MustParseAddrPort("192.0.2.1:80")
)

// send has the guest send s.
func (w *world) send(s seg) (taken bool) {
	h := make([]byte, headerLen, 60)
	k := key{guest: remote, remote: guest}                                          // the other way
	k.put(h, head{at: s.seq, ack: s.ack, flags: s.flags, window: uint16(s.window)}) //nolint:gosec // a test's
	if s.mss != 0 {
		h = h[:headerLen+optionsLen]
		h[12] = (headerLen + optionsLen) / 4 << 4
		putOptions(h, s.mss, s.scale, s.sack)
	}
	half := len(s.data) / 2
	w.do(func() {
		taken = w.r.Segment(&Segment{Guest: guest, Remote: remote, Header: h, Payload: [2][]byte{[]byte(s.data[:half]), []byte(s.data[half:])}})
		w.r.Flush(false)
	})
	return taken
}

// next is the next segment for the guest.
func (w *world) next() seg {
	w.t.Helper()
	select {
	case s := <-w.out:
		return s
	case <-time.After(patient):
		w.t.Fatal("no segment comes")
		return seg{}
	}
}

// want wants the next segment to have these flags, and data, and returns it.
func (w *world) want(flags byte, data string) seg {
	w.t.Helper()
	s := w.next()
	if s.flags != flags || s.data != data {
		w.t.Fatalf("flags %#x, data %.40q (%d bytes); want %#x and %.40q", s.flags, s.data, len(s.data), flags, data)
	}
	return s
}

// atOnce wants a segment to be on its way already, without a wait for a time to pass.
func (w *world) atOnce() {
	w.t.Helper()
	if len(w.out) == 0 {
		w.t.Error("nothing is sent at once")
	}
}

// none wants no connection to be left.
func (w *world) none() {
	w.t.Helper()
	w.do(func() {
		if n := len(w.r.flows); n != 0 {
			w.t.Errorf("%d connections are left", n)
		}
	})
}

// nothing wants nothing to be on its way to the guest.
func (w *world) nothing() {
	w.t.Helper()
	w.do(func() {})
	select {
	case s := <-w.out:
		w.t.Fatalf("%+v, want nothing", s)
	default:
	}
}

// A peer is the guest's end of a connection.
type peer struct {
	*world
	nxt, rcv seq
	window   int
}

// send sends data with the flags.
func (p *peer) send(flags byte, data string) {
	p.world.send(seg{seq: p.nxt, ack: p.rcv, flags: flags | flagACK, window: p.window, data: data})
	p.nxt += seq(len(data)) //nolint:gosec // a test's
	if flags&(flagFIN|flagSYN) != 0 {
		p.nxt++
	}
}

// take wants data to come, and acknowledges it.
func (p *peer) take(data string) {
	p.t.Helper()
	s := p.want(flagPSH|flagACK, data)
	if s.seq != p.rcv {
		p.t.Fatalf("%d, want %d", s.seq, p.rcv)
	}
	p.rcv += seq(len(data)) //nolint:gosec // a test's
	p.send(0, "")
}

// setDst has guests connect to l.
func (w *world) setDst(l net.Listener) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dst = l.Addr().(*net.TCPAddr).AddrPort() //nolint:forcetypeassert // a TCP listener
}

// connect opens a connection with a server on the host's side.
func (w *world) connect(window int) (*peer, *net.TCPConn) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.Close()
	w.setDst(l)
	p := w.dial(window)
	c, err := l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return p, c.(*net.TCPConn) //nolint:forcetypeassert // a TCP connection
}

// dial opens one with who is there.
func (w *world) dial(window int) *peer {
	w.t.Helper()
	p := &peer{world: w, nxt: 1<<32 - 3, window: window} // it goes round soon
	w.send(seg{seq: p.nxt, flags: flagSYN, window: window, mss: 1000, scale: 0, sack: true})
	s := w.want(flagSYN|flagACK, "")
	if p.nxt++; s.ack != p.nxt || s.mss != mtu-40 || s.scale != ourScale || !s.sack || s.window != 65535 {
		w.t.Fatalf("%+v", s)
	}
	p.rcv = s.seq + 1
	p.send(0, "")
	return p
}

// header is a TCP header with options.
func header(options ...byte) []byte {
	h := append(make([]byte, headerLen), options...)
	h[12] = byte(len(h) / 4 << 4)
	binary.BigEndian.PutUint16(h[14:], 1000)
	return h
}
