package container

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

// The verbs here need no store: they speak to the container's processes and its
// monitor, from the user's own namespaces or from inside.

// DefaultStopTimeout is how long a container may take to end after its stop
// signal, as Docker's and podman's.
const DefaultStopTimeout = 10 * time.Second

// Forever is a timeout that never comes.
const Forever = time.Duration(1<<63 - 1)

// OwnGrace stands for the time that the container was made with.
const OwnGrace = time.Duration(-1)

func grace(c *state.Container) time.Duration {
	switch t := c.Spec.StopTimeout; {
	case t == nil:
		return DefaultStopTimeout
	case *t < 0:
		return Forever
	default:
		return time.Duration(*t) * time.Second
	}
}

// ErrNotRunning means that a container has no process.
var ErrNotRunning = errors.New("container is not running")

// Stop ends a container: its stop signal, or sig if that is not 0, then SIGKILL
// after wait, which may be OwnGrace. It returns when the end is on disk. A container that does not run is
// no error.
func Stop(ctx context.Context, c *state.Container, sig syscall.Signal, wait time.Duration) error {
	if wait == OwnGrace {
		wait = grace(c)
	}
	if sig == 0 {
		var err error
		if sig, err = sys.ParseSignal(spec.StopSignal(c.Spec, c.Image)); err != nil {
			return err
		}
	}
	st, err := c.Status()
	switch {
	case err != nil || st.Monitor == 0:
		return err
	case st.Word == state.Paused && sig != syscall.SIGKILL: // it would not hear of it
		return paused(c)
	}
	if st.Word == state.Initialized {
		sig = syscall.SIGKILL // nothing runs that could hear another one
	}
	if err := monitor.MarkStopped(c); err != nil {
		return err
	}
	events.Tell(c, events.Stop)
	if err := wake(c); err != nil {
		return err
	}
	return end(ctx, c, sig, wait)
}

// begins is how often to look whether a container that is being started can be
// signalled.
const begins = 10 * time.Millisecond

// end signals a container, and again with SIGKILL after wait, until its end is on
// disk. One that is being started has no process to signal yet.
func end(ctx context.Context, c *state.Container, sig syscall.Signal, wait time.Duration) error {
	gone := make(chan error, 1)
	go func() { gone <- c.AwaitMonitor() }()
	timer, again := time.NewTimer(wait), time.NewTicker(begins)
	defer timer.Stop()
	defer again.Stop()
	for sent := false; ; {
		if !sent {
			var err error
			if sent, err = c.Signal(sig); err != nil {
				return err
			}
		}
		select {
		case err := <-gone:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			sig, sent = syscall.SIGKILL, false
		case <-again.C:
		}
	}
}

// StartsOnBoot reports whether its restart policy wants c running after a boot:
// always does, unless-stopped only where its user did not end it.
func StartsOnBoot(c *state.Container) bool {
	switch c.Spec.Restart.Policy {
	case spec.RestartAlways:
		return true
	case spec.RestartUnlessStopped:
		return !monitor.Stopped(c)
	}
	return false
}

// Kill signals a running container's first process.
func Kill(c *state.Container, sig syscall.Signal) error {
	if err := mustRun(c); err != nil {
		return err
	}
	if sig == syscall.SIGKILL {
		if err := monitor.MarkStopped(c); err != nil {
			return err
		}
	}
	events.Tell(c, events.Kill, events.Attribute("signal", strconv.Itoa(int(sig))))
	_, err := c.Signal(sig)
	return err
}

// wake ends the pause of a monitor that is about to start c again.
func wake(c *state.Container) error {
	st, err := c.Status()
	if err != nil || st.Word != state.Restarting || st.Monitor <= 0 {
		return err
	}
	p, err := sys.PidfdOpen(st.Monitor)
	if err != nil {
		return nil // it is gone
	}
	defer p.Close()
	// The same process still, and still between two runs: a pid is used again only
	// after the lock is gone.
	if now, err := c.Status(); err == nil && now.Word == state.Restarting && now.Monitor == st.Monitor {
		_ = sys.PidfdSignal(p, syscall.SIGTERM) // it may have ended
	}
	return nil
}

func mustRun(c *state.Container) error {
	st, err := c.Status()
	if err == nil && !st.Alive() {
		err = problem.Hint(fmt.Errorf("%s: %w but %s", c.Name, ErrNotRunning, st.Word), "run: nook start %s", c.Name)
	}
	return err
}

// Attach connects to the monitor of a running container as a client that says
// hello. The Started frame is the next to be read.
func Attach(c *state.Container, hello monitor.Hello) (*attach.Conn, error) {
	if err := mustRun(c); err != nil {
		return nil, err
	}
	if st, err := c.Status(); err == nil && st.Word == state.Paused && !hello.Quiet {
		return nil, paused(c)
	}
	f, err := monitor.Dial(c)
	if err != nil {
		return nil, err
	}
	conn := attach.New(f)
	if err := conn.WriteJSON(attach.Open, hello); err != nil {
		conn.Close()
		return nil, fmt.Errorf("talk to the monitor of %s: %w", c.Name, err)
	}
	return conn, nil
}
