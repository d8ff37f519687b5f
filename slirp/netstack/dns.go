package netstack

import (
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/nook-containers/nook/slirp"
)

const (
	dnsPort = 53
	// dnsAnswerIn is how long a handler may take.
	dnsAnswerIn = 10 * time.Second
	// dnsIdle is how long a client of TCP may say nothing (RFC 7766, section 6.2.3).
	dnsIdle = 10 * time.Second
	// maxQuery is how long a query over TCP may be, in bytes: a question, and options.
	maxQuery = 4096
	// dnsBuffer is what a connection may hold in each direction: the longest message.
	dnsBuffer = 64 << 10
)

// isDNS reports whether dst is where guests ask for names.
func (n *network) isDNS(dst netip.AddrPort) bool {
	return n.cfg.DNS != nil && dst.Port() == dnsPort && slices.Contains(n.cfg.DNSAddrs, dst.Addr())
}

// ask runs the handler. ok is false where there is no room for another query.
func (n *network) ask(q slirp.DNSQuery) []byte {
	n.stats.dnsQueries.Add(1)
	ctx, cancel := context.WithTimeout(n.ctx, dnsAnswerIn)
	defer cancel()
	return n.cfg.DNS(ctx, q)
}

// udpDNS answers a query. It runs in the reader of the TAP.
func (n *network) udpDNS(key udpKey, parts [2][]byte) {
	if !n.dns.Enter(key.guest.Addr()) {
		n.stats.limited.Add(1)
		return
	}
	msg := slices.Concat(parts[0], parts[1])
	if !n.udp.goWork(n, func() {
		defer n.dns.Leave(key.guest.Addr())
		answer := n.ask(slirp.DNSQuery{Guest: key.guest, Proto: slirp.UDP, Msg: msg})
		if answer == nil || len(answer) > maxPayload {
			return
		}
		n.toGuest(append(make([]byte, headroom, headroom+len(answer)), answer...), key)
	}) {
		n.dns.Leave(key.guest.Addr())
	}
}

// tcpDNS answers the queries of one connection, one after the other.
func (n *network) tcpDNS(r *tcp.ForwarderRequest) {
	if !n.startDNS() {
		r.Complete(false)
		return
	}
	defer n.work.Done()
	id := r.ID()
	guest := netip.AddrPortFrom(toAddr(id.RemoteAddress), id.RemotePort)
	if !n.dns.Enter(guest.Addr()) {
		n.stats.tcp.limited.Add(1)
		r.Complete(false)
		return
	}
	defer n.dns.Leave(guest.Addr())
	var wq waiter.Queue
	ep, err := r.CreateEndpoint(&wq)
	r.Complete(false)
	if err != nil {
		return
	}
	c := gonet.NewTCPConn(&wq, ep)
	defer c.Close()
	stop := context.AfterFunc(n.ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	for n.serveTCPQuery(c, guest) {
	}
}

func (n *network) startDNS() bool {
	n.ending.Lock()
	defer n.ending.Unlock()
	if n.ended {
		return false
	}
	n.work.Add(1) // under the lock: nobody waits yet
	return true
}

// serveTCPQuery answers one query (RFC 1035, section 4.2.2) and reports whether
// the connection is good for another.
func (n *network) serveTCPQuery(c *gonet.TCPConn, guest netip.AddrPort) bool {
	if n.ctx.Err() != nil || c.SetDeadline(time.Now().Add(dnsIdle)) != nil {
		return false
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return false
	}
	length := int(binary.BigEndian.Uint16(size[:]))
	if length > maxQuery {
		return false
	}
	msg := make([]byte, length)
	if _, err := io.ReadFull(c, msg); err != nil {
		return false
	}
	answer := n.ask(slirp.DNSQuery{Guest: guest, Proto: slirp.TCP, Msg: msg})
	if answer == nil || len(answer) > 65535 || c.SetDeadline(time.Now().Add(dnsIdle)) != nil {
		return false
	}
	out := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(answer)), uint16(len(answer))) //nolint:gosec // checked
	_, err := c.Write(append(out, answer...))
	return err == nil
}
