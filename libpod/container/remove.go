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
	Timeout time.Duration // between the stop signal and SIGKILL, or OwnGrace
	Volumes bool          // remove the anonymous volumes that were made for it, too
	WithPod bool          // the pod that it is the infra container of goes, too
}

// Remove deletes a container and its layer. One that runs is ErrRunning unless
// Force is set.
func (e *Engine) Remove(ctx context.Context, c *state.Container, o RemoveOptions) error {
	if err := removable(c, o); err != nil {
		return err
	}
	err := c.Hold()
	if errors.Is(err, state.ErrRunning) {
		st, serr := c.Status()
		if serr != nil {
			return serr
		}
		if !o.Force && st.Word != state.Initialized {
			return problem.Hint(fmt.Errorf("remove %s: %w", c.Name, state.ErrRunning), "run: nook rm -f %s", c.Name)
		}
		if err := Stop(ctx, c, endSignal(c), o.Timeout); err != nil {
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
	dropGroup(c)
	if err := c.Remove(e.forget); err != nil {
		return err
	}
	events.Tell(c, events.Remove)
	return nil
}

// ErrDependents means that other containers require a container, or have namespaces
// of it.
var ErrDependents = errors.New("other containers need it")

// removable looks for those that need c.
func removable(c *state.Container, o RemoveOptions) error {
	if o.WithPod {
		return nil
	}
	if c.Spec.Infra {
		return problem.Hint(fmt.Errorf("remove %s: %w", c.Name, ErrInfra), "run: nook pod rm %s", c.Spec.Pod[:12])
	}
	dependents, err := Dependents(c)
	if err != nil {
		return err
	}
	if len(dependents) > 0 {
		return problem.Hint(fmt.Errorf("remove %s: %w: %s", c.Name, ErrDependents, namesOf(dependents)),
			"run: nook rm %s first; or: nook rm --depend %s", namesOf(dependents), c.Name)
	}
	return nil
}

// endSignal is what ends c: its own stop signal, or if it is paused the only signal
// that a frozen process obeys.
func endSignal(c *state.Container) syscall.Signal {
	if st, err := c.Status(); err == nil && st.Word == state.Paused {
		return syscall.SIGKILL
	}
	return 0
}

// dropGroup removes a control group that a killed monitor has left. That it can't
// be is no reason to keep the container: the next one that is made sweeps too.
func dropGroup(c *state.Container) {
	run, ran, err := c.LastRun()
	if err != nil || !ran || run.Cgroup == "" {
		return
	}
	if boot, err := state.BootID(); err == nil && boot == run.Boot { // else it is another container's by now
		_ = cgroups.Collect(run.Cgroup)
	}
}
