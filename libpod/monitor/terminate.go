package monitor

import (
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// GiveUp is the signal by which a client has the engine leave off making a container.
// Once the command runs it means nothing: what the client's user wanted of that is the
// command's, and comes as a frame after the Started one.
const GiveUp = syscall.SIGUSR1

// terminator is what SIGTERM does to a monitor. A unit that is stopped, or a
// system that shuts down, sends it to every process; the monitor's death would be
// the container's, without a chance to finish and with the end of its output
// lost. So it passes the wish on, and lives until the container has ended. The
// policy must not start the container again now; that its user ended it, which
// would outlast the next boot, nobody says. A container in the same unit may have
// been told by systemd too, and hears it twice: whether it was nobody can see, and
// systemd may not tell a process of another subordinate id. StopGrace is to be well
// below the 90 s after which systemd kills what is left of a unit
// (systemd-system.conf(5)).
type terminator struct {
	signals chan os.Signal
	told    atomic.Bool
	blocked bool // handOver was done, and not undone
}

func newTerminator() *terminator {
	t := &terminator{signals: make(chan os.Signal, 1)}
	signal.Notify(t.signals, syscall.SIGTERM)
	// systemd-logind adds a SIGHUP for shells when it ends a session. To ignore it
	// would be inherited by whoever starts the container again.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, GiveUp)
	return t
}

// Heed makes SIGTERM a wish for the container's end, from now on. It is to be
// called before anybody hears that the container runs.
func (m *Monitor) Heed() {
	if m.term == nil {
		m.term = newTerminator()
		return
	}
	m.term.keep() // where Become failed
}

// handOver makes the signals wait from now on, where the kernel gives them to the
// calling thread, which is about to turn into the next program.
func (t *terminator) handOver() error {
	signal.Ignore(GiveUp) // until the next program hears it
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		if err := kern.BlockSignal(sig); err != nil {
			return fmt.Errorf("block signal: %w", err)
		}
	}
	t.blocked = true
	return nil
}

// take reports whether a signal has come that nothing was done about, for the next
// program to do it.
func (t *terminator) take() bool {
	// To stop a channel waits until what has come is in all channels that want it.
	last := make(chan os.Signal, 1)
	signal.Notify(last, syscall.SIGTERM)
	signal.Stop(last)
	select {
	case <-t.signals:
		return true
	default:
		return false
	}
}

// give is as if the signal came now.
func (t *terminator) give() {
	select {
	case t.signals <- syscall.SIGTERM:
	default: // it has come
	}
}

// keep undoes handOver where there was no next program.
func (t *terminator) keep() {
	if !t.blocked {
		return
	}
	t.blocked = false
	_ = kern.UnblockSignals() // a thread less that hears the signal is all that an error costs
	signal.Notify(make(chan os.Signal, 1), GiveUp)
}

// watch ends m's container when a signal comes, until it is stopped.
func (t *terminator) watch(m *Monitor) (stop func()) {
	ended, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-ended:
			return
		case <-t.signals:
		}
		t.told.Store(true)
		_ = sys.PidfdSignal(m.First, m.StopSignal) // unless it has just ended
		timer := time.NewTimer(m.StopGrace)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
			_ = sys.PidfdSignal(m.First, syscall.SIGKILL) // as above
		}
	}()
	return func() { close(ended); <-gone }
}
