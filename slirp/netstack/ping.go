package netstack

import (
	"encoding/binary"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/forward"
)

// pingIdle is how long a guest's series of echo requests may pause.
const pingIdle = 30 * time.Second

type pingKey struct {
	guest, dst netip.Addr
	ident      uint16
}

// pingFlows are the series of echo requests of a network, each with an
// unprivileged ICMP socket (icmp(7)).
type pingFlows struct {
	gate *forward.Gate

	mu     sync.Mutex
	closed bool
	flows  map[pingKey]*pingFlow
}

type pingFlow struct {
	key  pingKey
	sock *os.File // nil until it is open
	raw  syscall.RawConn
	last atomic.Int64
}

func (p *pingFlows) init(l slirp.Limits) {
	p.gate = forward.NewGate(l.PingFlows, l.Share(l.PingFlows))
	p.flows = map[pingKey]*pingFlow{}
}

func (p *pingFlows) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, f := range p.flows {
		p.endLocked(f)
	}
}

func (p *pingFlows) end(f *pingFlow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endLocked(f)
}

func (p *pingFlows) endLocked(f *pingFlow) {
	if p.flows[f.key] != f {
		return
	}
	delete(p.flows, f.key)
	if f.sock != nil {
		_ = f.sock.Close()
	}
	p.gate.Leave(f.key.guest)
}

// expire closes the series that were quiet for long, and tells how many are left.
func (p *pingFlows) expire(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.flows {
		if now.Sub(time.Unix(0, f.last.Load())) > pingIdle {
			p.endLocked(f)
		}
	}
	return len(p.flows)
}

// echo handles a whole echo request for another host.
func (n *network) echo(v *view, parts [2][]byte) {
	seq := binary.BigEndian.Uint16(v.quote[len(v.quote)-2:])
	n.ping1(pingKey{v.src, v.dst, v.srcPort}, seq, v.quote, parts)
}

// echoReassembled handles one that came in fragments. false lets the stack
// answer: the request is for the gateway.
func (n *network) echoReassembled(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	dst := toAddr(id.LocalAddress)
	h := pkt.TransportHeader().Slice()
	if n.link.filter.ours(dst) {
		return false
	}
	if len(h) < icmpLen || h[0] != byte(header.ICMPv4Echo) && h[0] != byte(header.ICMPv6EchoRequest) {
		return true
	}
	key := pingKey{toAddr(id.RemoteAddress), dst, binary.BigEndian.Uint16(h[4:])}
	n.ping1(key, binary.BigEndian.Uint16(h[6:]), quote(pkt), [2][]byte{pkt.Data().AsRange().ToSlice()})
	return true
}

// ping1 sends one echo request. It runs in the reader of the TAP.
func (n *network) ping1(key pingKey, seq uint16, quote []byte, parts [2][]byte) {
	msg := make([]byte, icmpLen, icmpLen+len(parts[0])+len(parts[1]))
	msg[0] = byte(header.ICMPv4Echo)
	if key.dst.Is6() {
		msg[0] = byte(header.ICMPv6EchoRequest)
	}
	binary.BigEndian.PutUint16(msg[6:], seq)
	msg = append(append(msg, parts[0]...), parts[1]...)

	p := &n.ping
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.flows[key]
	switch {
	case p.closed:
	case f != nil && f.sock != nil:
		f.last.Store(time.Now().UnixNano())
		_ = f.raw.Control(func(fd uintptr) { _ = inet.Send(int(fd), msg) })
	case f != nil: // being opened: one request of the series is lost
	case !p.gate.Enter(key.guest):
		n.stats.echo.limited.Add(1)
	default:
		f = &pingFlow{key: key}
		f.last.Store(time.Now().UnixNano())
		p.flows[key] = f
		quote = append([]byte(nil), quote...)
		n.work.Go(func() { n.runPing(f, msg, quote) })
	}
}

// runPing opens the socket of f, sends the first request and brings answers back
// until f ends.
func (n *network) runPing(f *pingFlow, first, quote []byte) {
	defer n.ping.end(f)
	dst, outcome := n.rules.Admit(n.ctx, slirp.Flow{
		Proto: slirp.Echo, Src: netip.AddrPortFrom(f.key.guest, 0), Dst: netip.AddrPortFrom(f.key.dst, 0),
	})
	if outcome != forward.Opened {
		n.stats.echo.denied.Add(1)
		if outcome == forward.Refused { // the host itself: there is no port to be refused
			outcome = forward.HostUnreachable
		}
		n.unreachable(quote, outcome)
		return
	}
	sock, err := inet.OpenPing(dst.Addr())
	if err != nil {
		n.stats.echo.failed.Add(1)
		if outcome = forward.OutcomeOf(err); outcome == forward.Prohibited {
			err := forward.CheckPing()
			n.slow.warn("guests can't ping other hosts", "error", err, "hint", problem.HintOf(err))
		}
		n.noteShortage("open ping socket", err)
		n.unreachable(quote, outcome)
		return
	}
	raw, err := sock.SyscallConn()
	if err != nil || !n.ping.opened(f, sock, raw) {
		_ = sock.Close()
		return
	}
	n.stats.echo.enter()
	defer n.stats.echo.leave()
	_ = raw.Control(func(fd uintptr) {
		_ = inet.WantErrors(int(fd), dst.Addr())
		_ = inet.Send(int(fd), first)
	})
	n.pingReplies(f, quote)
}

func (p *pingFlows) opened(f *pingFlow, sock *os.File, raw syscall.RawConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flows[f.key] != f {
		return false
	}
	f.sock, f.raw = sock, raw
	return true
}

func (n *network) pingReplies(f *pingFlow, quote []byte) {
	for {
		var pending error
		err := f.raw.Read(func(fd uintptr) bool {
			buf := n.udp.bufs.Get().(*[]byte) //nolint:forcetypeassert // the pool has nothing else
			defer n.udp.bufs.Put(buf)
			for {
				size, err := inet.RecvFD(int(fd), (*buf)[headroom-icmpLen:])
				switch {
				case sys.WouldBlock(err):
					return false
				case err != nil:
					inet.DropErrors(int(fd))
					pending = err
					return true
				case size >= icmpLen:
					n.echoReply(f.key, (*buf)[:headroom-icmpLen+size])
				}
			}
		})
		if err != nil {
			return
		}
		n.unreachable(quote, forward.OutcomeOf(pending))
	}
}

// echoReply sends the reply in buf, with the guest's identifier in place of the
// socket's.
func (n *network) echoReply(key pingKey, buf []byte) {
	kind := byte(header.ICMPv4EchoReply)
	if key.dst.Is6() {
		kind = byte(header.ICMPv6EchoReply)
	}
	binary.BigEndian.PutUint16(buf[headroom-icmpLen+4:], key.ident)
	n.link.sendIP(icmpPacket(buf, kind, 0, key.dst, key.guest), key.guest)
}
