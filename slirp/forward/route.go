package forward

import (
	"net/netip"
	"sync"
	"time"

	"github.com/nook-containers/nook/pkg/sys/inet"
)

const (
	// routeFresh is how long an answer about a route is used again: about as long as a
	// connection may take to begin after it was asked for.
	routeFresh = 10 * time.Millisecond

	maxRoutes = 256
)

// remembered is what the kernel said about routes a moment ago: many connections to
// one address, as short ones come, would spend a tenth of their time on asking.
type remembered struct {
	ask func(netip.Addr) (inet.RouteType, error)

	mu    sync.Mutex
	known map[netip.Addr]route
}

type route struct {
	kind  inet.RouteType
	asked time.Time
}

// to is the kind of the route to a. Errors are not remembered.
func (r *remembered) to(a netip.Addr) (inet.RouteType, error) {
	now := time.Now()
	r.mu.Lock()
	k, ok := r.known[a]
	r.mu.Unlock()
	if ok && now.Sub(k.asked) < routeFresh {
		return k.kind, nil
	}
	kind, err := r.ask(a)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= maxRoutes {
		clear(r.known)
	}
	r.known[a] = route{kind, now}
	return kind, nil
}
