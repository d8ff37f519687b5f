package netstack

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nook-containers/nook/slirp"
)

// counters are what Stats shows.
type counters struct {
	tcp, udp, echo                flowCounters
	framesIn, framesOut           atomic.Uint64
	malformed, spoofed, limited   atomic.Uint64
	bytesOut, bytesIn, dnsQueries atomic.Uint64
}

type flowCounters struct {
	active                          atomic.Int64
	opened, failed, denied, limited atomic.Uint64
}

func (c *flowCounters) enter() {
	c.opened.Add(1)
	c.active.Add(1)
}

func (c *flowCounters) leave() { c.active.Add(-1) }

func (c *flowCounters) stats() slirp.FlowStats {
	return slirp.FlowStats{
		Active: int(c.active.Load()), Opened: c.opened.Load(), Failed: c.failed.Load(),
		Denied: c.denied.Load(), Limited: c.limited.Load(),
	}
}

// Stats returns the counters.
func (n *network) Stats() slirp.Stats {
	c := &n.stats
	return slirp.Stats{
		TCP: c.tcp.stats(), UDP: c.udp.stats(), Echo: c.echo.stats(),
		FramesIn: c.framesIn.Load(), FramesOut: c.framesOut.Load(),
		DroppedMalformed: c.malformed.Load(), DroppedSource: c.spoofed.Load(), DroppedLimit: c.limited.Load(),
		BytesOut: c.bytesOut.Load(), BytesIn: c.bytesIn.Load(), DNSQueries: c.dnsQueries.Load(),
	}
}

// Calm forgets what was read last, and looks for flows to end for the last time if
// there are none left.
func (n *network) Calm() {
	n.stirred.Store(false)
	n.lookAround()
	_ = n.loop.Sync(func() error { // it is over: so is the memory
		for _, r := range n.link.readers {
			r.calm()
		}
		n.relay.Calm()
		return nil
	})
}

// noteShortage logs errors of opening that are the process's, not the other
// side's: it has no descriptor or memory left.
func (n *network) noteShortage(what string, err error) {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			n.slow.warn("network is short of resources", "step", what, "error", err)
		}
	}
}

// throttle lets one record of a kind through in a minute.
type throttle struct {
	log  *slog.Logger
	mu   sync.Mutex
	last map[string]time.Time
}

func newThrottle(log *slog.Logger) *throttle {
	return &throttle{log: log, last: map[string]time.Time{}}
}

func (t *throttle) warn(kind string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.last[kind]) >= time.Minute {
		t.last[kind] = now
		t.log.Warn(kind, args...)
	}
}
