package netstack

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/slirptest"
)

// wire is the guests' end of a link that is no TAP but a pair of sockets, which
// carry frames as well.
type wire struct {
	n       *network
	end     *os.File
	drained sync.WaitGroup
}

func newWire(tb testing.TB, change func(*slirp.Config)) *wire {
	tb.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		tb.Fatal(err)
	}
	cfg := slirptest.Config()
	cfg.MTU = 1500
	if change != nil {
		change(&cfg)
	}
	tap, end := os.NewFile(uintptr(fds[0]), "tap"), os.NewFile(uintptr(fds[1]), "wire")
	n, err := Backend{}.Start(tb.Context(), slirp.Link{TAP: []*os.File{tap}}, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	w := &wire{n: n.(*network), end: end} //nolint:forcetypeassert // this backend's
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Error(err)
		}
		end.Close()
		w.drained.Wait()
	})
	return w
}

// inject makes the link handle a frame, and waits for that.
func (w *wire) inject(frame []byte) {
	_ = w.n.loop.Sync(func() error {
		w.handle(frame)
		w.n.rest()
		return nil
	})
}

func (w *wire) handle(frame []byte) {
	head := make([]byte, headLen)
	copy(head, frame)
	big := make([]byte, maxFrame-headLen)
	if len(frame) > headLen {
		copy(big, frame[headLen:])
	}
	w.n.link.frame(head, big, len(frame))
}

// drain reads what the stack sends, so that the socket does not fill up.
func (w *wire) drain() {
	w.drained.Go(func() {
		b := make([]byte, 70000)
		for {
			if _, err := w.end.Read(b); err != nil {
				return
			}
		}
	})
}

// receive waits for a frame, without virtio header, that ok takes.
func (w *wire) receive(t *testing.T, ok func([]byte) bool) {
	t.Helper()
	b := make([]byte, 70000)
	_ = w.end.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		n, err := w.end.Read(b)
		if err != nil {
			t.Fatalf("no such frame came: %v", err)
		}
		if ok(b[sys.VnetHeaderLen:n]) {
			return
		}
	}
}

var (
	gateway4 = netip.MustParseAddr("10.88.0.1")
	gateway6 = netip.MustParseAddr("fd88::1")
	guest4   = netip.MustParseAddr("10.88.0.2")
	guest6   = netip.MustParseAddr("fd88::2")
	ourMAC   = slirptest.Config().WithDefaults().MAC
	guestMAC = mac{2, 0, 0, 0, 0, 2}
)

// frameOf puts an IP packet that has room for headers into a frame of a guest's.
func frameOf(packet []byte, from, to mac) []byte {
	f := packet[sys.VnetHeaderLen:]
	copy(f, to[:])
	copy(f[6:], from[:])
	ether := uint16(etherIP4)
	if f[ethLen]>>4 == 6 {
		ether = etherIP6
	}
	binary.BigEndian.PutUint16(f[12:], ether)
	return f
}

func udpFrame(src, dst netip.AddrPort, payload string) []byte {
	return frameOf(udpPacket(append(make([]byte, headroom), payload...), src, dst, 65535), guestMAC, ourMAC)
}

func synFrame(src, dst netip.AddrPort) []byte {
	l3 := ipLen(src.Addr())
	b := make([]byte, sys.VnetHeaderLen+ethLen+l3+20)
	putIP(b[sys.VnetHeaderLen+ethLen:], protoTCP, src.Addr(), dst.Addr(), 20)
	h := b[sys.VnetHeaderLen+ethLen+l3:]
	binary.BigEndian.PutUint16(h, src.Port())
	binary.BigEndian.PutUint16(h[2:], dst.Port())
	h[12], h[13] = 5<<4, 2
	binary.BigEndian.PutUint16(h[14:], 65535)
	return frameOf(b, guestMAC, ourMAC)
}

func pingFrame(src, dst netip.Addr) []byte {
	kind := byte(8)
	if src.Is6() {
		kind = 128
	}
	return frameOf(icmpPacket(make([]byte, headroom+20), kind, 0, src, dst), guestMAC, ourMAC)
}

// seeds are frames of every kind that the link knows.
func seeds() [][]byte {
	ap := netip.AddrPortFrom
	far4, far6 := netip.MustParseAddr(slirptest.Nowhere4), netip.MustParseAddr(slirptest.Nowhere6)
	arp := arpPacket(1, guestMAC, mac{}, guest4, gateway4)[sys.VnetHeaderLen:]
	copy(arp, "\xff\xff\xff\xff\xff\xff")
	copy(arp[6:], guestMAC[:])
	binary.BigEndian.PutUint16(arp[12:], etherARP)
	all := [][]byte{
		arp,
		frameOf(neighborPacket(ndpNeighborSolicit, guestMAC, guest6, gateway6), guestMAC, groupMAC(solicitedNode(gateway6))),
		synFrame(ap(guest4, 1000), ap(far4, 80)), synFrame(ap(guest6, 1000), ap(far6, 80)), synFrame(ap(guest4, 1001), ap(gateway4, 53)),
		udpFrame(ap(guest4, 1000), ap(far4, 80), "hello"), udpFrame(ap(guest6, 1000), ap(far6, 80), "hello"),
		pingFrame(guest4, far4), pingFrame(guest6, far6), pingFrame(guest4, gateway4), pingFrame(guest6, gateway6),
	}
	for _, p := range [][]byte{
		udpPacket(make([]byte, headroom+3000), ap(far4, 7), ap(guest4, 9), 1500),
		udpPacket(make([]byte, headroom+3000), ap(far6, 7), ap(guest6, 9), 1500),
	} {
		fragments(p, 1500, 7, func(f []byte) {
			f = slices.Clone(frameOf(f, guestMAC, ourMAC))
			// From the guest, not to it.
			src, dst, n := 26, 30, 4
			if f[ethLen]>>4 == 6 {
				src, dst, n = 22, 38, 16
			}
			for i := range n {
				f[src+i], f[dst+i] = f[dst+i], f[src+i]
			}
			all = append(all, f)
		})
	}
	return all
}

// quiet waits until nothing is being opened.
func (w *wire) quiet(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if w.n.half.Count() == 0 {
			return
		}
	}
	t.Errorf("%d connections are still being opened", w.n.half.Count())
}

// TestGarbage sends frames that are random, or mutations of good ones, and wants
// the process to stay as it was.
func TestGarbage(t *testing.T) {
	w := newWire(t, func(c *slirp.Config) {
		c.Limits.UDPIdle = 200 * time.Millisecond
		c.Limits.TCPHalfOpen, c.Limits.UDPFlows, c.Limits.PingFlows = 32, 32, 16
	})
	w.drain()
	rng := rand.New(rand.NewPCG(1, 2))
	good := seeds()
	send := func(count int) {
		for range count {
			f := slices.Clone(good[rng.IntN(len(good))])
			if rng.IntN(4) == 0 {
				f = make([]byte, rng.IntN(2000))
				for i := range f {
					f[i] = byte(rng.Uint32())
				}
			}
			for range rng.IntN(4) {
				if len(f) > 0 {
					f[rng.IntN(len(f))] = byte(rng.Uint32())
				}
			}
			w.inject(f[:len(f)-rng.IntN(min(len(f), 3)+1)])
		}
	}
	send(20_000) // fills pools and tables
	before := heap()
	send(100_000)
	if grown := int64(heap()) - int64(before); grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	w.quiet(t)
	if st := w.n.Stats(); st.DroppedMalformed == 0 || st.DroppedSource == 0 || st.UDP.Active > 32 || st.Echo.Active > 16 {
		t.Errorf("counters: %+v", st)
	}
	// It still works: the gateway is found.
	if _, ok := w.n.link.neigh.lookup(guest4); !ok {
		t.Error("the guest was forgotten")
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestFloods opens more than the limits allow and wants a share to be left for
// another guest.
func TestFloods(t *testing.T) {
	w := newWire(t, func(c *slirp.Config) {
		c.Limits.TCPHalfOpen, c.Limits.UDPFlows, c.Limits.PingFlows = 40, 40, 40
	})
	w.drain()
	slow := netip.MustParseAddr("198.51.100.77") // nobody: the host looks for it for seconds
	far := netip.MustParseAddr(slirptest.Far4)
	routines := runtime.NumGoroutine()
	for port := range uint16(1000) {
		w.inject(synFrame(netip.AddrPortFrom(guest4, 1000+port), netip.AddrPortFrom(slow, 80)))
		w.inject(udpFrame(netip.AddrPortFrom(guest4, 1000+port), netip.AddrPortFrom(far, 80), "x"))
		f := pingFrame(guest4, far)
		binary.BigEndian.PutUint16(f[ethLen+ip4Len+4:], port)
		w.inject(f)
	}
	if got := runtime.NumGoroutine() - routines; got > 100 {
		t.Errorf("%d goroutines for one guest's flood", got)
	}
	st := w.n.Stats()
	if half, u, p := w.n.half.Count(), w.n.udp.gate.Count(), w.n.ping.gate.Count(); half > 20 || u > 20 || p > 20 || half == 0 || u == 0 {
		t.Errorf("half-open %d, UDP %d, ping %d; want at most 20, half the limit", half, u, p)
	}
	if st.TCP.Limited == 0 || st.UDP.Limited == 0 || st.Echo.Limited == 0 {
		t.Errorf("counters: %+v", st)
	}
	before := w.n.half.Count()
	w.inject(synFrame(netip.AddrPortFrom(guest4.Next(), 1000), netip.AddrPortFrom(slow, 80)))
	if w.n.half.Count() != before+1 {
		t.Error("another guest got no share")
	}
}

// TestSpoofing sends from addresses that are not a guest's and claims ours.
func TestSpoofing(t *testing.T) {
	w := newWire(t, nil)
	far := netip.MustParseAddr(slirptest.Far4)
	ap := netip.AddrPortFrom
	claim := arpPacket(2, guestMAC, ourMAC, gateway4, guest4)[sys.VnetHeaderLen:]
	copy(claim, ourMAC[:])
	copy(claim[6:], guestMAC[:])
	binary.BigEndian.PutUint16(claim[12:], etherARP)
	for name, f := range map[string][]byte{
		"gateway as source":      udpFrame(ap(gateway4, 1), ap(far, 2), "x"),
		"gateway as source, v6":  udpFrame(ap(gateway6, 1), ap(netip.MustParseAddr(slirptest.Far6), 2), "x"),
		"stranger as source":     udpFrame(ap(far, 1), ap(far, 2), "x"),
		"loopback as source":     synFrame(ap(netip.MustParseAddr("127.0.0.1"), 1), ap(far, 2)),
		"broadcast as source":    synFrame(ap(netip.MustParseAddr("10.88.0.255"), 1), ap(far, 2)),
		"ARP claims the gateway": claim,
		"NDP claims the gateway": frameOf(neighborPacket(ndpNeighborAdvert, guestMAC, gateway6, guest6), guestMAC, ourMAC),
		"our hardware address":   frameOf(udpPacket(make([]byte, headroom), ap(guest4, 1), ap(far, 2), 1500), ourMAC, ourMAC),
	} {
		before := w.n.Stats().DroppedSource
		w.inject(f)
		if w.n.Stats().DroppedSource != before+1 {
			t.Errorf("%s: not dropped", name)
		}
	}
	for _, a := range []netip.Addr{gateway4, gateway6, far} {
		if m, ok := w.n.link.neigh.lookup(a); ok {
			t.Errorf("%s is known at %x", a, m)
		}
	}
	if n := w.n.udp.gate.Count() + w.n.half.Count(); n != 0 {
		t.Errorf("%d flows were opened", n)
	}
}

// TestOtherPortsOfTheBridge wants frames for other hardware addresses to be left
// alone, and no answer to questions about other guests.
func TestOtherPortsOfTheBridge(t *testing.T) {
	w := newWire(t, nil)
	other := mac{2, 0, 0, 0, 0, 3}
	f := synFrame(netip.AddrPortFrom(guest4, 1), netip.AddrPortFrom(guest4.Next(), 80))
	copy(f, other[:])
	w.inject(f)
	if n := w.n.half.Count(); n != 0 {
		t.Error("a connection between guests was taken")
	}
	for i, target := range []netip.Addr{guest4.Next(), gateway4} {
		q := arpPacket(1, guestMAC, mac{}, guest4, target)[sys.VnetHeaderLen:]
		copy(q, "\xff\xff\xff\xff\xff\xff")
		copy(q[6:], guestMAC[:])
		binary.BigEndian.PutUint16(q[12:], etherARP)
		before := w.n.Stats().FramesOut
		w.inject(q)
		if got := w.n.Stats().FramesOut - before; got != uint64(i) {
			t.Errorf("%d answers about %s, want %d", got, target, i)
		}
	}
	// A packet for a guest through us is refused, not sent to the host's networks.
	w.inject(udpFrame(netip.AddrPortFrom(guest4, 1), netip.AddrPortFrom(guest4.Next(), 80), "x"))
	w.receive(t, func(f []byte) bool {
		return len(f) > ethLen+ip4Len && f[ethLen+9] == protoICMP && f[ethLen+ip4Len] == 3
	})
}

// TestGuestIsLookedFor publishes a port of a guest that never spoke: it is asked
// for, and given up on.
func TestGuestIsLookedFor(t *testing.T) {
	w := newWire(t, nil)
	port, err := w.n.Publish(t.Context(), slirp.Port{Proto: slirp.TCP, HostIP: netip.MustParseAddr("127.0.0.1"), Guest: []netip.Addr{guest4}, GuestPort: 80})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", netip.AddrPortFrom(port.HostIP, port.HostPort).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range asks {
		w.receive(t, func(f []byte) bool {
			return binary.BigEndian.Uint16(f[12:]) == etherARP && netip.AddrFrom4([4]byte(f[ethLen+24:])) == guest4 &&
				netip.AddrFrom4([4]byte(f[ethLen+14:])) == gateway4
		})
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
	_ = w.n.loop.Sync(func() error { return nil })
	if got := w.n.open.Count(); got != 0 {
		t.Errorf("%d flows are left", got)
	}
}

// TestBudget has connections whose ends do not read, in both directions, and wants what
// the process holds for them to stay near the budget.
func TestBudget(t *testing.T) {
	const budget, flows = 1 << 20, 16
	cfg := slirptest.Config()
	cfg.Limits.BufferBytes = budget
	guest, started := slirptest.Start(t, Backend{}, cfg)
	n := started.(*network) //nolint:forcetypeassert // this backend's
	l := slirptest.Server().Listen(t, "tcp", slirptest.Far4+":0")
	var ends []net.Conn
	for range flows {
		c, err := guest.Dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(); s.Close() })
		ends = append(ends, c, s)
	}
	n.Calm()                // without what it keeps for the next frame
	before := int64(heap()) //nolint:gosec // a size
	data := make([]byte, 1<<20)
	var full sync.WaitGroup
	for _, c := range ends {
		full.Go(func() {
			for err := error(nil); err == nil; {
				_ = c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
				_, err = c.Write(data)
			}
		})
	}
	full.Wait()
	n.Calm()
	if got := int64(heap()) - before; got > 2*budget || got < budget/4 {
		t.Errorf("%d bytes are held for %d connections, want at most %d", got, flows, budget)
	}
}

func FuzzFrames(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	w := newWire(f, func(c *slirp.Config) {
		c.Limits.TCPHalfOpen, c.Limits.UDPFlows, c.Limits.PingFlows = 16, 16, 4
		c.Limits.UDPIdle = 100 * time.Millisecond
	})
	w.drain()
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > headLen+buffer.MaxChunkSize {
			return
		}
		w.inject(frame)
		if u, h := w.n.udp.gate.Count(), w.n.half.Count(); u > 16 || h > 16 {
			t.Errorf("%d UDP flows, %d half-open connections", u, h)
		}
	})
}
