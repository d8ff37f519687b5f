package netd

import (
	"context"
	"net/netip"
	"sync"

	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/slirp"
)

// names is what guests are called, and what they may.
type names struct {
	mu      sync.RWMutex
	members map[string]member.Member // by id
	byAddr  map[netip.Addr]string    // id
}

func newNames() *names {
	return &names{members: map[string]member.Member{}, byAddr: map[netip.Addr]string{}}
}

func (n *names) add(m member.Member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.members[m.ID] = m
	for _, a := range []netip.Addr{m.IPv4, m.IPv6} {
		if a.IsValid() {
			n.byAddr[a] = m.ID
		}
	}
}

func (n *names) remove(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range []netip.Addr{n.members[id].IPv4, n.members[id].IPv6} {
		delete(n.byAddr, a)
	}
	delete(n.members, id)
}

// hostOf is what the guest at a may reach of the host.
func (n *names) hostOf(a netip.Addr) member.Host {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.members[n.byAddr[a]].Host
}

// answer answers a DNS query.
func (n *names) answer(context.Context, slirp.DNSQuery) []byte { return nil }
