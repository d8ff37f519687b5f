package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

// DefaultStopTimeout is how long a container may take to end after its stop
// signal, as Docker's and podman's.
const DefaultStopTimeout = 10 * time.Second

// RemoveOptions say how to remove a container.
type RemoveOptions struct {
	Force   bool          // end it first if it runs
	Timeout time.Duration // between the stop signal and SIGKILL
	Volumes bool          // remove the anonymous volumes that were made for it, too
}

// Remove deletes a container and its layer. One that runs is ErrRunning unless
// Force is set.
func (e *Engine) Remove(ctx context.Context, c *state.Container, o RemoveOptions) error {
	err := c.Hold()
	if errors.Is(err, state.ErrRunning) {
		if !o.Force {
			return problem.Hint(fmt.Errorf("remove %s: %w", c.Name, state.ErrRunning), "run: nook rm -f %s", c.Name)
		}
		if err := end(ctx, c, o.Timeout); err != nil {
			return err
		}
		err = c.Hold()
	}
	if errors.Is(err, state.ErrNotFound) && o.Force {
		return nil // it ended, and --rm or another rm took it away
	}
	if err != nil {
		return err
	}
	defer c.Release()
	ownVolumes := e.keepOwn
	if o.Volumes {
		ownVolumes = e.listOwn
	}
	if err := ownVolumes(c); err != nil {
		return err
	}
	return c.Remove(e.forget)
}

// end makes a running container end and waits until its monitor has put that on
// disk.
func end(ctx context.Context, c *state.Container, grace time.Duration) error {
	sig, err := sys.ParseSignal(ocispec.StopSignal(c.Spec, c.Image))
	if err != nil {
		return err
	}
	gone := make(chan error, 1)
	go func() { gone <- c.AwaitMonitor() }()
	if err := signalFirst(c, sig); err != nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err := <-gone:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	}
	if err := signalFirst(c, syscall.SIGKILL); err != nil {
		return err
	}
	select {
	case err := <-gone:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// signalFirst signals the container's first process, and nobody else: the pid
// must still have the start time on record when a descriptor of it is open. A
// process that is gone is no error.
func signalFirst(c *state.Container, sig syscall.Signal) error {
	run, ran, err := c.LastRun()
	if err != nil || !ran || !run.Finished.IsZero() {
		return err
	}
	p, err := sys.PidfdOpen(run.PID)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.Close()
	if begun, err := startTime(run.PID); err != nil || begun != run.PIDStart {
		return nil // the pid is another process by now
	}
	if err := sys.PidfdSignal(p, sig); err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s: %w", c.Name, err)
	}
	return nil
}
