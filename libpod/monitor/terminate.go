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
// would outlast the next boot, nobody says. StopGrace is to be well below the 90 s
// after which systemd kills what is left of a unit (systemd-system.conf(5)).
type terminator struct {
	signals chan os.Signal
	told    atomic.Bool
	kept    chan struct{} // closed when handOver is undone; nil: it has not been done
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

// handOver makes the signal, from now on, wait at the calling thread, which is about
// to turn into the next program: there it comes as soon as that heeds it. The kernel
// may give it to another thread of this one, which passes it on.
func (t *terminator) handOver() error {
	signal.Ignore(GiveUp) // until the next program hears it
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		if err := kern.BlockSignal(sig); err != nil {
			return fmt.Errorf("block signal: %w", err)
		}
	}
	t.kept = make(chan struct{})
	go t.pass(syscall.Gettid(), t.kept)
	return nil
}

// pass gives the signal to a thread.
func (t *terminator) pass(tid int, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-t.signals:
			_ = syscall.Tgkill(syscall.Getpid(), tid, syscall.SIGTERM) // it is there: it waits for execve
		}
	}
}

// keep undoes handOver where there was no next program.
func (t *terminator) keep() {
	if t.kept == nil {
		return
	}
	close(t.kept)
	t.kept = nil
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
