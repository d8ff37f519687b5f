package netstack

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp/internal/loop"
)

// A hostSock is the host's end of a TCP flow. It is a descriptor and not a
// connection of package net, which asks for both addresses, sets options that are the
// default or that nobody wants here, and has a poller of its own.
type hostSock struct {
	fd      int // -1 when closed
	id      loop.ID
	watched bool
	dialing *dialing // who was told before there was a flow
}

// watch makes s the loop's source of what happens to the socket, and returns what
// has happened so far. It is called in the loop.
func (h *hostSock) watch(l *loop.Loop, s loop.Source) uint32 {
	if h.watched {
		l.Replace(h.id, s)
		return h.dialing.seen.Load()
	}
	if h.add(l, s) != nil {
		return giveUp
	}
	return 0
}

func (h *hostSock) add(l *loop.Loop, s loop.Source) (err error) {
	h.id, err = l.Add(h.fd, s)
	h.watched = err == nil
	return err
}

// err takes the socket's pending error.
func (h *hostSock) err() error {
	if h.fd < 0 {
		return nil
	}
	return sys.SocketError(h.fd)
}

// shut ends sending.
func (h *hostSock) shut() { _ = inet.Shut(h.fd) }

// close closes the socket.
func (h *hostSock) close(l *loop.Loop) {
	if h.fd < 0 {
		return
	}
	if h.watched {
		l.Forget(h.id)
	}
	_ = inet.Close(h.fd)
	h.fd = -1
}

// reset closes the connection with a reset.
func (h *hostSock) reset(l *loop.Loop) {
	if h.fd >= 0 {
		_ = inet.ResetOnClose(h.fd)
	}
	h.close(l)
}

// dialing waits for a connection.
type dialing struct {
	seen    atomic.Uint32
	changed chan struct{}
}

// Ready is called by the loop.
func (d *dialing) Ready(ev sys.PollEvents) {
	d.seen.Or(uint32(ev))
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// dialTCP opens a connection to dst, waiting at most wait. Keep-alive is off: probes
// are the affair of the two ends, and an idle guest must cost nothing.
func dialTCP(ctx context.Context, l *loop.Loop, dst netip.AddrPort, wait time.Duration) (*hostSock, error) {
	s, err := inet.OpenTCP(dst)
	if err != nil {
		return nil, err
	}
	h := &hostSock{fd: s.FD}
	done, err := s.Connect()
	if err == nil && !done { // what is near has answered meanwhile
		done, err = s.Connect()
	}
	if err == nil && !done {
		err = h.await(ctx, l, s, wait)
	}
	if err != nil {
		h.close(l)
		return nil, fmt.Errorf("%s: %w", dst, err)
	}
	return h, nil
}

// await waits until s is connected.
func (h *hostSock) await(ctx context.Context, l *loop.Loop, s *inet.TCPSocket, wait time.Duration) error {
	d := &dialing{changed: make(chan struct{}, 1)}
	h.dialing = d
	if err := h.add(l, d); err != nil {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-d.changed:
		case <-timer.C:
			return os.ErrDeadlineExceeded
		case <-ctx.Done():
			return ctx.Err()
		}
		if done, err := s.Connect(); done || err != nil {
			return err
		}
	}
}
