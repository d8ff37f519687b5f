package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/health"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/problem/remedy"
	"github.com/nook-containers/nook/pkg/sys"
)

// Conditions that Await knows beside the words of state.Status. Some are states
// that other tools' containers can be in; where nook's can't, the next one counts.
const (
	CondConfigured = "configured" // exists, and has not run
	CondStopped    = "stopped"    // does not run
	CondNotRunning = "not-running"
	CondNextExit   = "next-exit" // ended after Await was called
	CondStopping   = "stopping"  // its user ended it, and it may still run
	CondPausing    = "pausing"
	CondRemoving   = "removing"
	CondRemoved    = "removed"
	CondUnknown    = "unknown" // never
)

// Conditions are all that Await knows, sorted.
func Conditions() []string {
	return []string{
		CondConfigured, state.Created, state.Exited, health.Healthy, state.Initialized, CondNextExit, CondNotRunning, state.Paused, CondPausing,
		CondRemoved, CondRemoving, state.Running, CondStopped, CondStopping, health.Unhealthy, CondUnknown,
	}
}

// NoExitCode is what Await returns for a container that has not ended.
const NoExitCode = -1

// ends are the conditions that hold for a container that does not run.
func ends(cond string) bool {
	return cond == CondStopped || cond == state.Exited || cond == CondNotRunning
}

func ofHealth(cond string) bool { return cond == health.Healthy || cond == health.Unhealthy }

// Await waits until one of the conditions holds for c, and returns its exit code: of
// a container that has ended, else NoExitCode. It does not poll: it hears of changes
// from the container's monitor, its directories and its lock.
func Await(ctx context.Context, c *state.Container, conditions []string) (int, error) {
	if !slices.ContainsFunc(conditions, func(cond string) bool { return !ends(cond) }) {
		return waitEnd(ctx, c)
	}
	if slices.ContainsFunc(conditions, ofHealth) && health.Test(c.Spec.Health, c.Image.Health) == nil {
		return 0, problem.Hint(fmt.Errorf("%s: %w", c.Name, monitor.ErrNoHealthCheck), "make the container with: --health-cmd COMMAND")
	}
	w, err := newWaiter(c)
	if err != nil {
		return 0, err
	}
	defer w.watch.Close()
	for first := true; ; first = false {
		now, err := w.look()
		if err != nil {
			return 0, err
		}
		if first {
			w.before = now
		}
		for _, cond := range conditions {
			if now.meets(cond, w.before) {
				return w.exitCode(ctx, now), nil
			}
		}
		if err := w.hopeless(now, conditions); err != nil {
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case err := <-w.changed:
			if err != nil {
				return 0, err
			}
		}
	}
}

// waitEnd waits until a container does not run and returns its exit code. It hears
// that from the monitor, so that it also knows of a container that is removed when
// it ends. One that never ran has 0.
func waitEnd(ctx context.Context, c *state.Container) (int, error) {
	conn, err := Attach(c, monitor.Hello{Quiet: true, NoStdin: true})
	if err == nil {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		defer conn.Close()
		exit, err := (&attach.Client{}).Run(conn)
		if err == nil {
			return exit.Code, nil
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
	// It does not run, it is on its way in or out, or its monitor was killed: the
	// record knows.
	if err := c.AwaitMonitor(); err != nil {
		return 0, err
	}
	st, err := c.Status()
	if err == nil && !present(c) {
		return lastExit(ctx, c, 0), nil
	}
	return st.Run.ExitCode, err
}

// sight is what is true of a container at one moment.
type sight struct {
	state.Status

	gone    bool // it is out of every listing
	stopped bool // its user ended it
	health  string
}

// meets reports whether cond holds now; before is what was true when the wait began.
func (s sight) meets(cond string, before sight) bool {
	switch cond {
	case CondRemoved, CondRemoving:
		return s.gone
	case CondNextExit:
		return s.gone || s.Word != state.Running && !s.Run.Finished.IsZero() && !s.Run.Finished.Equal(before.Run.Finished)
	}
	if s.gone {
		return ends(cond)
	}
	return s.is(cond)
}

// is reports whether cond holds for a container that is there.
func (s sight) is(cond string) bool {
	switch cond {
	case CondConfigured:
		return s.Word == state.Created
	case state.Created:
		return s.Word == state.Created || s.Word == state.Initialized
	case CondStopped, CondNotRunning, state.Exited:
		return s.Word != state.Running && s.Word != state.Paused
	case CondStopping:
		return s.stopped
	case CondPausing, state.Paused:
		return s.Word == state.Paused
	case health.Healthy, health.Unhealthy:
		return s.Word == state.Running && s.health == cond
	}
	return s.Word == cond
}

// waiter watches one container.
type waiter struct {
	c       *state.Container
	before  sight // when the wait began
	last    sight // when the container was there
	watch   *sys.Watch
	changed chan error // something did; look again
	runDir  bool       // it is watched
	group   time.Time  // start of the run whose control group is
	locked  bool       // somebody waits for the monitor's end
	unlock  chan struct{}
}

func newWaiter(c *state.Container) (*waiter, error) {
	watch, err := sys.NewWatch()
	if err != nil {
		if sys.NoMoreWatches(err) {
			err = problem.Run(err, remedy.Sysctl("fs.inotify.max_user_instances", "1024"))
		}
		return nil, fmt.Errorf("wait for %s: %w", c.Name, err)
	}
	w := &waiter{c: c, watch: watch, changed: make(chan error, 1), unlock: make(chan struct{}, 1)}
	if err := w.add(c.Dir()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, watch.Close())
	}
	go w.listen()
	return w, nil
}

func (w *waiter) add(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return w.watch.Add(dir)
}

// listen passes changes on; several that nobody has looked at are one.
func (w *waiter) listen() {
	for {
		_, err := w.watch.Wait()
		if errors.Is(err, os.ErrClosed) {
			return
		}
		w.wake(err)
		if err != nil {
			return
		}
	}
}

func (w *waiter) wake(err error) {
	select {
	case w.changed <- err:
	default:
	}
}

// look finds out what is true now. What changes from then on wakes the waiter.
func (w *waiter) look() (s sight, err error) {
	if !w.runDir { // it is made when the container starts, before its record says so
		err := w.add(w.c.RunDir())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
		w.runDir = err == nil
	}
	c, err := w.c.Store().Lookup(w.c.ID)
	if errors.Is(err, state.ErrNotFound) {
		return sight{gone: true}, nil
	}
	if err != nil {
		return s, err
	}
	if s.Status, err = c.Status(); err != nil {
		return s, err
	}
	if run := s.Run; run.Cgroup != "" && s.Alive() && !run.Started.Equal(w.group) {
		if err := w.add(run.Cgroup); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
		w.group = run.Started
		if s.Status, err = c.Status(); err != nil { // it may have been paused in between
			return s, err
		}
	}
	w.awaitLock(s.Monitor)
	s.stopped = monitor.Stopped(c)
	r, _, err := HealthOf(c)
	s.health = r.Status
	if !present(c) {
		return sight{gone: true}, nil // it went while we looked
	}
	w.last = s
	return s, err
}

// present reports whether c is still where it was.
func present(c *state.Container) bool {
	_, err := os.Lstat(c.Dir())
	return err == nil
}

// awaitLock has the end of a monitor wake the waiter: one that is killed leaves no
// other trace.
func (w *waiter) awaitLock(pid int) {
	select {
	case <-w.unlock:
		w.locked = false
	default:
	}
	if pid == 0 || w.locked {
		return
	}
	w.locked = true
	go func() {
		err := w.c.AwaitMonitor()
		w.unlock <- struct{}{}
		w.wake(err)
	}()
}

// hopeless tells why no condition can hold any more.
func (w *waiter) hopeless(now sight, conditions []string) error {
	what := conditions[0]
	if now.gone {
		return fmt.Errorf("wait for %s to be %s: %w", w.c.Name, what, state.ErrNotFound)
	}
	others := slices.ContainsFunc(conditions, func(cond string) bool { return !ofHealth(cond) })
	if !others && now.Word == state.Exited {
		return problem.Hint(fmt.Errorf("wait for %s to be %s: it has exited with %d", w.c.Name, what, now.Run.ExitCode), "run: nook logs %s", w.c.Name)
	}
	return nil
}

// exitCode is how the container ended.
func (w *waiter) exitCode(ctx context.Context, now sight) int {
	switch {
	case now.gone && w.last.Run.Finished.IsZero():
		return lastExit(ctx, w.c, 0)
	case now.gone:
		return lastExit(ctx, w.c, w.last.Run.ExitCode)
	case now.Word == state.Exited, now.Word == state.Restarting:
		return now.Run.ExitCode
	}
	return NoExitCode
}

// lastExit is how a container that is gone ended last: the log of events knows. A
// monitor that was killed has not told; seen is what is known without it.
func lastExit(ctx context.Context, c *state.Container, seen int) int {
	died := func(e events.Event) bool {
		return e.Type == events.Container && e.Action == events.Died && e.ID == c.ID && e.ExitCode != nil
	}
	_ = events.Of(c.Store()).Read(ctx, events.Query{Keep: died}, func(e events.Event) error {
		seen = *e.ExitCode
		return nil
	})
	return seen
}
