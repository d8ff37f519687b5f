package container

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/problem"
)

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
		sig := syscall.Signal(0)
		if st, err := c.Status(); err == nil && st.Word == state.Paused {
			sig = syscall.SIGKILL // the only one that a frozen process obeys
		}
		if err := Stop(ctx, c, sig, o.Timeout); err != nil {
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
	ownVolumes := volume.KeepOwn
	if o.Volumes {
		ownVolumes = volume.EndOwn
	}
	if err := ownVolumes(e.State, c); err != nil {
		return err
	}
	if run, ran, err := c.LastRun(); err == nil && ran && run.Cgroup != "" && inThisBoot(run) {
		_ = cgroups.Collect(run.Cgroup) // of a monitor that was killed; the next container sweeps too
	}
	if err := c.Remove(e.forget); err != nil {
		return err
	}
	events.Tell(c, events.Remove)
	return nil
}

// inThisBoot reports whether what run says of the kernel's objects is still about
// the same ones.
func inThisBoot(run state.Run) bool {
	boot, err := state.BootID()
	return err == nil && boot == run.Boot
}
