package netstack

import (
	"net"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/inet"
	"github.com/nook-containers/nook/slirp/forward"
	"github.com/nook-containers/nook/slirp/internal/loop"
)

// acceptAgain is how long an acceptor waits that finds no descriptor free.
const acceptAgain = 50 * time.Millisecond

// An acceptor takes the clients of a published TCP port, in the loop.
type acceptor struct {
	port     *published
	listener *net.TCPListener
	fd       int // the listener's
	id       loop.ID
	stopped  bool
}

func (a *acceptor) start() error {
	raw, err := a.listener.SyscallConn()
	if err != nil {
		return err
	}
	if err := raw.Control(func(fd uintptr) { a.fd = int(fd) }); err != nil {
		return err
	}
	return a.port.net.loop.Sync(func() (err error) {
		a.id, err = a.port.net.loop.Add(a.fd, a)
		return err
	})
}

// Ready takes the clients that there are.
func (a *acceptor) Ready(sys.PollEvents) { a.Run() }

// Run does the same.
func (a *acceptor) Run() {
	for !a.stopped {
		fd, client, err := inet.Accept(a.fd)
		switch {
		case sys.WouldBlock(err):
			return
		case err != nil: // no descriptor is left: later there may be one
			a.port.net.noteShortage("accept", err)
			time.AfterFunc(acceptAgain, func() { a.port.net.loop.Do(a) })
			return
		}
		from, to := forward.Inner(a.port.net.cfg, a.port.port, client)
		a.port.net.relay.Call(fd, from, to, a.port)
	}
}

// stop ends it, before the listener is closed. It is called in the loop.
func (a *acceptor) stop() error {
	a.stopped = true
	return a.port.net.loop.Remove(a.id, a.fd)
}
