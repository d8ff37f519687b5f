package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/problem"
)

// ErrPaused means that the processes of a container stand still.
var ErrPaused = errors.New("container is paused")

func paused(c *state.Container) error {
	return problem.Hint(fmt.Errorf("%s: %w", c.Name, ErrPaused), "run: nook unpause %s", c.Name)
}

// pauseWait is how long the processes of a container may take to stand still: one
// that is in the kernel has to come back first.
const pauseWait = 10 * time.Second

// Pause stops every process of a running container where it is.
func Pause(c *state.Container) error {
	st, err := c.Status()
	switch {
	case err != nil:
		return err
	case st.Word == state.Paused:
		return paused(c)
	case st.Word != state.Running:
		return notRunning(c)
	case st.Run.Cgroup == "":
		return noFreezer(c)
	}
	err = cgroups.Freeze(st.Run.Cgroup, pauseWait)
	if errors.Is(err, fs.ErrNotExist) { // it has just ended
		return notRunning(c)
	}
	if err != nil {
		return fmt.Errorf("pause %s: %w", c.Name, err)
	}
	events.Tell(c, events.Pause)
	return nil
}

// noFreezer says why c cannot be paused.
func noFreezer(c *state.Container) error {
	if c.Spec.Cgroups == spec.CgroupsDisabled {
		return problem.Hint(fmt.Errorf("pause %s: %w: it was made with --cgroups=disabled", c.Name, ErrNoCgroup),
			"make it again without that flag")
	}
	host, err := cgroups.Find()
	if err != nil {
		return err
	}
	return explainNoGroup("pause "+c.Name, host)
}

// Unpause lets the processes of a paused container go on.
func Unpause(c *state.Container) error {
	st, err := c.Status()
	if err != nil {
		return err
	}
	if st.Word != state.Paused {
		return fmt.Errorf("unpause %s: it is %s, not paused", c.Name, st.Word)
	}
	if err := cgroups.Thaw(st.Run.Cgroup); err != nil {
		return fmt.Errorf("unpause %s: %w", c.Name, err)
	}
	events.Tell(c, events.Unpause)
	return nil
}

// Still calls f while the processes of c, if it has any, stand still.
func Still(ctx context.Context, c *state.Container, f func(context.Context) error) (err error) {
	st, err := c.Status()
	if err != nil {
		return err
	}
	if st.Word == state.Running {
		if err := Pause(c); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, Unpause(c)) }()
	}
	return f(ctx)
}
