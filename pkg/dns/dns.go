// Package dns answers the names that containers ask for: those of their
// neighbours and of the host itself, and the rest from the host's servers.
//
// # Theory of operation
//
// A Resolver is a slirp.DNSHandler: messages in, messages out. What it answers
// itself (local names) it never asks others for, whatever the type, so that names of
// containers do not leave the host:
//
//   - names of members, and what resolvers make of them with a search domain;
//   - names of one label (as systemd-resolved.service(8) does by default);
//   - host.containers.internal and its kin, localhost, and addresses of the network.
//
// Everything else is passed on as it is, with another id and from a socket of its
// own, so that an answer is hard to forge (RFC 5452, section 9), and the answer is
// passed back as it is: negative ones, signatures and options included. The servers
// are those of resolv.conf(5) as it is now; the file is looked at for each query, so a
// change of network is noticed at once. A server that does not answer is joined by the
// next one, and the one that answered last is asked first. Where no server can be
// reached the answer is SERVFAIL, at once.
package dns

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/nook-containers/nook/slirp"
)

// Members knows the containers of a network. Names have no dot at the end and are
// in lower case. Its methods are called from many goroutines.
type Members interface {
	// Lookup returns the addresses that a name has for a guest. ok says that the name
	// is a container's, though it may have no address now.
	Lookup(guest netip.Addr, name string) (addrs []netip.Addr, ok bool)

	// Reverse returns the names of the container with an address, best first.
	Reverse(guest, addr netip.Addr) []string

	// Servers are those that a guest asked for in place of the host's.
	Servers(guest netip.Addr) []netip.Addr
}

// Outside decides which names others may be asked for. Names are as Members has them.
// Its methods are called from many goroutines.
type Outside interface {
	// MayAsk reports whether a guest may have others asked for a name. Where it may
	// not, the name does not exist.
	MayAsk(ctx context.Context, guest netip.Addr, name string) bool

	// Answered tells which addresses others gave for a name, before the guest gets
	// them.
	Answered(guest netip.Addr, name string, addrs []netip.Addr)
}

// Config says what a network's guests are answered. The zero value passes all on to
// the host's servers.
type Config struct {
	Members Members        // nil: no names of containers
	Subnets []netip.Prefix // of the network, whose addresses only Members know
	Host    []netip.Addr   // the host, as guests reach it
	Gateway []netip.Addr   // of the network

	Closed  bool         // nothing is passed on
	Outside Outside      // nil: everything is
	Servers []netip.Addr // in place of the host's
	// ResolvConf are files to find the host's servers in, of which the first that has
	// some counts. Default: DefaultResolvConf.
	ResolvConf []string

	// Retry is how long a server has before the next one is asked too, default 1 s.
	// GiveUp is how long all of them have, default 8 s.
	Retry, GiveUp time.Duration
	// InFlight is how many queries are passed on at one time, default 128; further ones
	// are answered SERVFAIL.
	InFlight int

	// Dial opens a socket to a server, "udp" or "tcp". Default: net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// DefaultResolvConf are the files that name the host's servers: systemd-resolved's,
// too, where the administrator has no resolv.conf.
func DefaultResolvConf() []string {
	return []string{"/etc/resolv.conf", "/run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/resolv.conf"}
}

const (
	retry    = time.Second
	giveUp   = 8 * time.Second
	inFlight = 128
)

// Resolver answers queries. Its methods are safe for concurrent use.
type Resolver struct {
	cfg  Config
	conf resolvConf
	room chan struct{} // one place for each query that is passed on
	best atomic.Uint32 // which of the servers to ask first
}

// New returns a resolver.
func New(cfg Config) *Resolver {
	if cfg.Retry == 0 {
		cfg.Retry = retry
	}
	if cfg.GiveUp == 0 {
		cfg.GiveUp = giveUp
	}
	if cfg.InFlight == 0 {
		cfg.InFlight = inFlight
	}
	if cfg.ResolvConf == nil {
		cfg.ResolvConf = DefaultResolvConf()
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	return &Resolver{cfg: cfg, conf: resolvConf{paths: cfg.ResolvConf}, room: make(chan struct{}, cfg.InFlight)}
}

// Answer is a slirp.DNSHandler.
func (r *Resolver) Answer(ctx context.Context, q slirp.DNSQuery) []byte {
	m, rcode := parseQuery(q.Msg)
	if m == nil {
		return nil // not even an id to answer to, or an answer itself
	}
	m.guest, m.udp = q.Guest.Addr().Unmap(), q.Proto == slirp.UDP
	if rcode != dnsmessage.RCodeSuccess {
		return m.reply(rcode, nil)
	}
	if answer, ok := r.local(m); ok {
		return answer
	}
	if r.cfg.Closed || r.cfg.Outside != nil && !r.cfg.Outside.MayAsk(ctx, m.guest, m.name) {
		return m.reply(dnsmessage.RCodeNameError, nil)
	}
	return r.forward(ctx, m)
}

// local answers what others must not be asked for.
func (r *Resolver) local(m *query) ([]byte, bool) {
	if m.question.Class != dnsmessage.ClassINET && m.question.Class != dnsmessage.ClassANY {
		return m.reply(dnsmessage.RCodeRefused, nil), true
	}
	if addrs, ok := r.named(m.guest, m.name); ok {
		if len(addrs) == 0 {
			return m.reply(dnsmessage.RCodeNameError, nil), true
		}
		return m.addresses(addrs), true
	}
	if a, ok := reverse(m.name); ok && r.ours(a) {
		return m.pointer(r.reverse(m.guest, a)), true
	}
	if !strings.Contains(m.name, ".") && m.name != "" && m.forHosts() {
		return m.reply(dnsmessage.RCodeNameError, nil), true
	}
	if r.searched(m.guest, m.name) {
		return m.reply(dnsmessage.RCodeNameError, nil), true
	}
	return nil, false
}

// named returns the addresses of a name that is not of the world's.
func (r *Resolver) named(guest netip.Addr, name string) (addrs []netip.Addr, ok bool) {
	switch name {
	case "host.containers.internal", "host.docker.internal":
		return r.cfg.Host, true
	case "gateway.containers.internal", "gateway.docker.internal", "_gateway":
		return r.cfg.Gateway, true
	}
	if r.cfg.Members != nil && name != "" {
		if addrs, ok := r.cfg.Members.Lookup(guest, name); ok {
			return addrs, true
		}
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761, section 6.3
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, true
	}
	return nil, false
}

// ours reports whether only members can have the address.
func (r *Resolver) ours(a netip.Addr) bool {
	return a.IsLoopback() || slices.ContainsFunc(r.cfg.Subnets, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (r *Resolver) reverse(guest, a netip.Addr) []string {
	switch {
	case a.IsLoopback():
		return []string{"localhost"}
	case slices.Contains(r.cfg.Gateway, a):
		return []string{"_gateway"}
	case r.cfg.Members == nil:
		return nil
	}
	return r.cfg.Members.Reverse(guest, a)
}

// searched reports whether a guest's resolver made name of a local name and one of
// the host's search domains: asked outside, it would tell the local one.
func (r *Resolver) searched(guest netip.Addr, name string) bool {
	for _, domain := range r.conf.read().search {
		first, ok := strings.CutSuffix(name, "."+domain)
		if !ok || first == "" {
			continue
		}
		if _, local := r.named(guest, first); local {
			return true
		}
	}
	return false
}
