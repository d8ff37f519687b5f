package netstack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/forward"
)

// ports are the published ports of a network.
type ports struct {
	mu     sync.Mutex
	closed bool
	list   []*published
}

// published is one port with its sockets and the flows through it.
type published struct {
	net   *network
	port  slirp.Port
	socks []forward.Socket

	acceptors []*acceptor

	ctx  context.Context //nolint:containedctx // the life of the port
	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	clients map[clientKey]*udpFlow
}

// Publish adds a port.
func (n *network) Publish(ctx context.Context, p slirp.Port) (slirp.Port, error) {
	if err := p.Validate(); err != nil {
		return p, err
	}
	for _, g := range p.Guest {
		if !n.link.filter.guest(g) {
			return p, fmt.Errorf("publish %s: %s is no guest's address in this network", p, g)
		}
	}
	n.ports.mu.Lock()
	defer n.ports.mu.Unlock()
	if n.ports.closed {
		return p, fmt.Errorf("publish %s: %w", p, slirp.ErrClosed)
	}
	if slices.ContainsFunc(n.ports.list, func(o *published) bool { return o.port.Same(p) }) {
		return p, fmt.Errorf("publish %s: %w", p, slirp.ErrPublished)
	}
	p, socks, err := forward.Listen(ctx, p)
	if err != nil {
		return p, err
	}
	pub := &published{net: n, port: p, socks: socks, clients: map[clientKey]*udpFlow{}}
	pub.ctx, pub.stop = context.WithCancel(n.ctx)
	n.ports.list = append(n.ports.list, pub)
	for _, s := range socks {
		if s.TCP == nil {
			pub.work.Go(func() { pub.readUDP(s.UDP) })
			continue
		}
		l := &acceptor{port: pub, listener: s.TCP}
		if err := l.start(); err != nil {
			n.ports.list = n.ports.list[:len(n.ports.list)-1]
			pub.close()
			return p, fmt.Errorf("publish %s: %w", p, err)
		}
		pub.acceptors = append(pub.acceptors, l)
	}
	return p, nil
}

// Unpublish removes a port with its flows.
func (n *network) Unpublish(p slirp.Port) error {
	n.ports.mu.Lock()
	i := slices.IndexFunc(n.ports.list, func(o *published) bool { return o.port.Same(p) })
	if i < 0 {
		n.ports.mu.Unlock()
		return fmt.Errorf("unpublish %s: %w", p, slirp.ErrNotPublished)
	}
	pub := n.ports.list[i]
	n.ports.list = slices.Delete(n.ports.list, i, i+1)
	n.ports.mu.Unlock()
	pub.close()
	return nil
}

// Ports lists what is published.
func (n *network) Ports() []slirp.Port {
	n.ports.mu.Lock()
	defer n.ports.mu.Unlock()
	var all []slirp.Port
	for _, p := range n.ports.list {
		all = append(all, p.port)
	}
	return all
}

func (p *ports) closeAll() {
	p.mu.Lock()
	p.closed = true
	list := p.list
	p.list = nil
	p.mu.Unlock()
	for _, pub := range list {
		pub.close()
	}
}

// close ends p and everything through it.
func (p *published) close() {
	p.stop()
	for _, l := range p.acceptors {
		_ = p.net.loop.Sync(l.stop)
	}
	for _, s := range p.socks {
		_ = s.Close()
	}
	_ = p.net.loop.Sync(func() error { p.net.relay.Abandon(p); return nil })
	p.work.Wait() // now nobody adds a client
	p.mu.Lock()
	flows := slices.Collect(maps.Values(p.clients))
	p.mu.Unlock()
	for _, f := range flows {
		p.net.udp.end(f)
	}
}

// clientKey is a client of a published UDP port, and the address of the host that
// it wrote to.
type clientKey struct{ client, local netip.AddrPort }

// readUDP takes datagrams of clients until the socket is closed.
func (p *published) readUDP(c *net.UDPConn) {
	n := p.net
	oob := make([]byte, inet.PacketInfoLen)
	port := c.LocalAddr().(*net.UDPAddr).AddrPort().Port() //nolint:forcetypeassert // a UDP socket's
	for {
		buf := n.udp.bufs.Get().(*[]byte) //nolint:forcetypeassert // the pool has nothing else
		size, oobn, _, client, err := c.ReadMsgUDPAddrPort((*buf)[headroom:], oob)
		if errors.Is(err, net.ErrClosed) {
			n.udp.bufs.Put(buf)
			return
		}
		if err == nil {
			key := clientKey{client, netip.AddrPortFrom(inet.PacketDestination(oob[:oobn]), port)}
			if f := p.client(c, key); f != nil {
				f.last.Store(time.Now().UnixNano())
				n.toGuest((*buf)[:headroom+size], f.key)
			}
		}
		n.udp.bufs.Put(buf)
	}
}

// client returns the flow of a client, a new one if need be, or nil where there
// is no room for it.
func (p *published) client(c *net.UDPConn, key clientKey) *udpFlow {
	p.mu.Lock()
	f := p.clients[key]
	p.mu.Unlock()
	if f != nil {
		return f
	}
	n := p.net
	from, to := forward.Inner(n.cfg, p.port, key.client)
	if !n.udp.gate.Enter(to.Addr()) {
		n.stats.udp.limited.Add(1)
		return nil
	}
	oob := inet.PacketSource(key.local.Addr())
	f = &udpFlow{
		back: func(b []byte) { _, _, _ = c.WriteMsgUDPAddrPort(b, oob, key.client) },
		done: func() {
			n.udp.gate.Leave(to.Addr())
			n.stats.udp.leave()
			p.mu.Lock()
			delete(p.clients, key)
			p.mu.Unlock()
		},
	}
	f.last.Store(time.Now().UnixNano())
	f.ready.Store(true)
	n.stats.udp.enter()
	p.mu.Lock()
	p.clients[key] = f
	p.mu.Unlock()
	if !n.insertClient(f, from, to, key.client.Port()) {
		f.done()
		n.stats.udp.limited.Add(1)
		return nil
	}
	return f
}

// insertClient enters f under the client's port, or another one that is free.
func (n *network) insertClient(f *udpFlow, from, to netip.AddrPort, port uint16) bool {
	for try := range uint16(512) {
		if p := port + try; p != 0 {
			f.key = udpKey{guest: to, remote: netip.AddrPortFrom(from.Addr(), p)}
			if n.udp.insert(f) {
				n.stir() // the guest may never answer
				return true
			}
		}
	}
	return false
}
