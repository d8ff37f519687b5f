package netstack

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/forward"
)

const (
	// maxPayload is the longest UDP payload: an IPv4 packet less its headers.
	maxPayload = 65535 - ip4Len - udpLen

	// maxEarly is how many datagrams wait while their flow is opened.
	maxEarly = 4

	// bufLen is room for any datagram and the headers to put before it.
	bufLen = headroom + 65535
)

// udpKey names a flow by its two ends inside.
type udpKey struct{ guest, remote netip.AddrPort }

// udpFlows are the UDP flows of a network.
type udpFlows struct {
	gate *forward.Gate
	bufs sync.Pool // *[]byte of bufLen, held only while a datagram passes

	mu     sync.RWMutex
	closed bool
	flows  map[udpKey]*udpFlow
}

// A udpFlow carries datagrams to and from one guest address and port. Exactly one
// of conn and back is set once it is ready.
type udpFlow struct {
	key  udpKey
	conn *net.UDPConn // to the remote
	raw  syscall.RawConn
	back func(payload []byte) // to the client of a published port
	done func()               // called once, when the flow has ended

	single bool // it is of no use to batch; guarded by batch.mu

	ready   atomic.Bool
	early   [][]byte // guarded by udpFlows.mu, until ready
	last    atomic.Int64
	replies atomic.Int64
}

func (u *udpFlows) init(l slirp.Limits) {
	u.gate = forward.NewGate(l.UDPFlows, l.Share(l.UDPFlows))
	u.bufs.New = func() any { b := make([]byte, bufLen); return &b }
	u.flows = map[udpKey]*udpFlow{}
}

// goWork starts fn unless the network is closing.
func (u *udpFlows) goWork(n *network, fn func()) bool {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if u.closed {
		return false
	}
	n.work.Go(fn)
	return true
}

func (u *udpFlows) closeAll() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for _, f := range u.flows {
		u.endLocked(f)
	}
}

// end closes f.
func (u *udpFlows) end(f *udpFlow) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.endLocked(f)
}

func (u *udpFlows) endLocked(f *udpFlow) {
	if u.flows[f.key] != f {
		return
	}
	delete(u.flows, f.key)
	if f.conn != nil {
		_ = f.conn.Close()
	}
	f.done()
}

// expire closes the flows that were quiet for long. One that saw at most one
// datagram back is a question and its answer, and gets a sixth of the time. It tells
// how many are left.
func (u *udpFlows) expire(now time.Time, idle time.Duration) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, f := range u.flows {
		limit := idle
		if f.replies.Load() <= 1 {
			limit = idle / 6
		}
		if now.Sub(time.Unix(0, f.last.Load())) > limit {
			u.endLocked(f)
		}
	}
	return len(u.flows)
}

// datagram sends what a guest sent. It runs in the reader of the TAP and does not
// wait.
func (n *network) datagram(v *view, parts [2][]byte) {
	n.fromGuest(udpKey{netip.AddrPortFrom(v.src, v.srcPort), netip.AddrPortFrom(v.dst, v.dstPort)}, parts)
}

// udpReassembled gets what the stack put together from fragments. Whole datagrams
// come here only where they have IPv6 extension headers.
func (n *network) udpReassembled(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	h := header.UDP(pkt.TransportHeader().Slice())
	if int(h.Length()) != len(h)+pkt.Data().Size() {
		n.stats.malformed.Add(1)
		return true
	}
	key := udpKey{
		netip.AddrPortFrom(toAddr(id.RemoteAddress), id.RemotePort),
		netip.AddrPortFrom(toAddr(id.LocalAddress), id.LocalPort),
	}
	n.fromGuest(key, [2][]byte{pkt.Data().AsRange().ToSlice()})
	return true
}

func (n *network) fromGuest(key udpKey, parts [2][]byte) {
	u := &n.udp
	u.mu.RLock()
	f := u.flows[key]
	u.mu.RUnlock()
	switch {
	case f != nil && f.ready.Load():
		n.toHost(f, parts)
	case f != nil:
		n.keepEarly(f, parts)
	case n.isDNS(key.remote):
		n.udpDNS(key, parts)
	default:
		n.openUDP(key, parts)
	}
}

// sendOut sends a datagram to the host's side. Where the socket takes no more the
// datagram is lost, as on any wire.
func (n *network) sendOut(f *udpFlow, parts [2][]byte) {
	f.last.Store(time.Now().UnixNano())
	size := len(parts[0]) + len(parts[1])
	if f.back != nil {
		buf := n.udp.bufs.Get().(*[]byte) //nolint:forcetypeassert // the pool has nothing else
		f.back(append(append((*buf)[:0], parts[0]...), parts[1]...))
		n.udp.bufs.Put(buf)
	} else {
		var err error
		_ = f.raw.Control(func(fd uintptr) {
			if err = inet.SendParts(int(fd), parts); err != nil && !sys.WouldBlock(err) {
				inet.DropErrors(int(fd))
			}
		})
		if err != nil {
			n.udpError(f, err)
			return
		}
	}
	n.stats.bytesOut.Add(uint64(size)) //nolint:gosec // a length
}

// udpError tells the guest what the host's side answered to an earlier datagram.
func (n *network) udpError(f *udpFlow, err error) {
	if sys.WouldBlock(err) {
		n.stats.limited.Add(1)
		return
	}
	if errors.Is(err, net.ErrClosed) {
		return
	}
	n.stats.udp.failed.Add(1)
	n.unreachable(udpQuote(f.key.guest, f.key.remote), forward.OutcomeOf(err))
}

// keepEarly keeps a datagram until its flow is open.
func (n *network) keepEarly(f *udpFlow, parts [2][]byte) {
	n.udp.mu.Lock()
	if f.ready.Load() {
		n.udp.mu.Unlock()
		n.sendOut(f, parts)
		return
	}
	defer n.udp.mu.Unlock()
	if len(f.early) == maxEarly {
		n.stats.limited.Add(1)
		return
	}
	f.early = append(f.early, append(append([]byte(nil), parts[0]...), parts[1]...))
}

// openUDP begins a flow whose first datagram is parts.
func (n *network) openUDP(key udpKey, parts [2][]byte) {
	guest := key.guest.Addr()
	if !n.udp.gate.Enter(guest) {
		n.stats.udp.limited.Add(1)
		return
	}
	f := &udpFlow{key: key, done: func() { n.udp.gate.Leave(guest) }}
	f.last.Store(time.Now().UnixNano())
	f.early = [][]byte{append(append([]byte(nil), parts[0]...), parts[1]...)}
	if !n.udp.insert(f) {
		n.udp.gate.Leave(guest)
		return
	}
	if !n.udp.goWork(n, func() { n.runUDP(f) }) {
		n.udp.end(f)
	}
}

func (u *udpFlows) insert(f *udpFlow) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || u.flows[f.key] != nil {
		return false
	}
	u.flows[f.key] = f
	return true
}

// runUDP opens the host's side of f and brings answers back until f ends.
func (n *network) runUDP(f *udpFlow) {
	defer n.udp.end(f)
	dst, outcome := n.rules.Admit(n.ctx, slirp.Flow{Proto: slirp.UDP, Src: f.key.guest, Dst: f.key.remote})
	if outcome != forward.Opened {
		n.stats.udp.denied.Add(1)
		n.unreachable(udpQuote(f.key.guest, f.key.remote), outcome)
		return
	}
	conn, err := forward.DialUDP(dst)
	if err != nil {
		n.noteShortage("open UDP socket", err)
		n.stats.udp.failed.Add(1)
		n.unreachable(udpQuote(f.key.guest, f.key.remote), forward.OutcomeOf(err))
		return
	}
	raw, err := conn.SyscallConn()
	if err != nil || !n.udp.opened(f, conn, raw) {
		_ = conn.Close()
		return
	}
	n.stats.udp.enter()
	defer n.stats.udp.leave()
	for _, p := range f.early {
		n.sendOut(f, [2][]byte{p})
	}
	f.early = nil
	n.udpReplies(f)
}

// opened makes f ready, if nobody has ended it meanwhile.
func (u *udpFlows) opened(f *udpFlow, conn *net.UDPConn, raw syscall.RawConn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.flows[f.key] != f {
		return false
	}
	f.conn, f.raw = conn, raw
	f.ready.Store(true)
	return true
}

// udpReplies brings back what the remote sends, until the socket is closed.
func (n *network) udpReplies(f *udpFlow) {
	for {
		var pending error
		err := f.raw.Read(func(fd uintptr) (done bool) {
			buf := n.udp.bufs.Get().(*[]byte) //nolint:forcetypeassert // the pool has nothing else
			defer n.udp.bufs.Put(buf)
			for {
				size, err := inet.RecvFD(int(fd), (*buf)[headroom:])
				switch {
				case sys.WouldBlock(err):
					return false
				case err != nil:
					inet.DropErrors(int(fd))
					pending = err
					return true
				}
				f.last.Store(time.Now().UnixNano())
				f.replies.Add(1)
				n.toGuest((*buf)[:headroom+size], f.key)
			}
		})
		if err != nil {
			return
		}
		n.udpError(f, pending)
	}
}

// toGuest sends the payload in buf after headroom to a guest.
func (n *network) toGuest(buf []byte, key udpKey) {
	n.stats.bytesIn.Add(uint64(len(buf) - headroom)) //nolint:gosec // a length
	n.link.sendIP(udpPacket(buf, key.remote, key.guest, n.cfg.MTU), key.guest.Addr())
}

// stir tells that something has happened. It is called often.
func (n *network) stir() {
	if n.stirred.Load() || n.stirred.Swap(true) {
		return
	}
	n.lookAround()
	n.cfg.Stir()
}

// lookAround has sweep look at once, and decide how to go on.
func (n *network) lookAround() {
	select {
	case n.look <- struct{}{}:
	default: // it is about to
	}
}

// sweep ends flows that were idle, until the network ends. While there are none, and
// nothing happens, it sleeps.
func (n *network) sweep() {
	every := max(min(n.cfg.Limits.UDPIdle/12, 10*time.Second), 10*time.Millisecond)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-n.look:
		case <-n.ctx.Done():
			return
		}
		now := time.Now()
		left := n.udp.expire(now, n.cfg.Limits.UDPIdle) + n.ping.expire(now)
		if left > 0 || n.stirred.Load() {
			t.Reset(every)
		} else {
			t.Stop()
		}
	}
}
