package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/oci"
	"github.com/nook-containers/nook/pkg/oci/state"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

func newStart(r *runtime) *cobra.Command {
	return &cobra.Command{
		Use:   "start ID",
		Short: "Run the command of a created container",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := r.open(args[0])
			if err != nil {
				return err
			}
			return r.start(c)
		},
	}
}

func (r *runtime) start(c *state.Container) error {
	rec, status, err := c.Status()
	if err != nil {
		return err
	}
	if status != specs.StateCreated {
		return fmt.Errorf("start container %s: it is %s, not created", c.ID, status)
	}
	if rec.NoProcess {
		return fmt.Errorf("start container %s: its config.json has no process", c.ID)
	}
	spec, err := c.Spec()
	if err != nil {
		return err
	}
	conn, err := c.Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := oci.StartOver(conn); err != nil {
		return err
	}
	r.poststart(c, rec, spec)
	return nil
}

// poststart runs the hooks for a container that runs already. The runtime spec
// wants a failure reported and the container left alone.
func (r *runtime) poststart(c *state.Container, rec state.Record, spec *specs.Spec) {
	if spec.Hooks != nil {
		r.runEach("poststart", spec.Hooks.Poststart, stateOf(c, rec, spec, specs.StateRunning))
	}
}

// runEach runs all hooks, whatever each says.
func (r *runtime) runEach(kind string, hooks []specs.Hook, st specs.State) {
	for _, h := range hooks {
		if err := oci.RunHooks(kind, []specs.Hook{h}, st); err != nil {
			fmt.Fprintln(r.Err, "warning:", err)
		}
	}
}

func stateOf(c *state.Container, rec state.Record, spec *specs.Spec, status specs.ContainerState) specs.State {
	st := specs.State{
		Version: specs.Version, ID: c.ID, Status: status, Bundle: rec.Bundle, Annotations: spec.Annotations,
	}
	if status == specs.StateCreated || status == specs.StateRunning || status == state.Paused {
		st.Pid = rec.Pid
	}
	return st
}

func newState(r *runtime) *cobra.Command {
	return &cobra.Command{
		Use:   "state ID",
		Short: "Print the state of a container as JSON",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := r.open(args[0])
			if err != nil {
				return err
			}
			rec, status, err := c.Status()
			if err != nil {
				return err
			}
			spec, err := c.Spec()
			if err != nil {
				return err
			}
			enc := json.NewEncoder(r.Out)
			enc.SetIndent("", "  ")
			return enc.Encode(stateOf(c, rec, spec, status))
		},
	}
}

func newKill(r *runtime) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "kill [flags] ID [SIGNAL]",
		Short: "Send a signal to a container, SIGTERM by default",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			name := "TERM"
			if len(args) > 1 {
				name = args[1]
			}
			sig, ok := kern.SignalNumber(name)
			if !ok {
				return fmt.Errorf("signal %q: unknown", name)
			}
			c, err := r.open(args[0])
			if err != nil {
				return err
			}
			rec, status, err := c.Status()
			if err != nil {
				return err
			}
			if status != specs.StateCreated && status != specs.StateRunning && status != state.Paused {
				return fmt.Errorf("kill container %s: it is %s", c.ID, status)
			}
			if all {
				return signalAll(rec.Pid, sig)
			}
			return signalInit(rec, sig)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "send it to every process in the container's pid namespace")
	return cmd
}

// signalInit sends sig to init and to no later process of the same pid: the
// descriptor is opened before the identity is checked.
func signalInit(rec state.Record, sig syscall.Signal) error {
	p, err := os.FindProcess(rec.Pid)
	if err != nil {
		return err
	}
	defer p.Release() //nolint:errcheck // nothing depends on it
	alive, err := rec.Alive()
	if err != nil {
		return err
	}
	if !alive {
		return fmt.Errorf("signal container: %w", os.ErrProcessDone)
	}
	return p.Signal(sig)
}

// signalAll signals the processes that have the same pid namespace as init.
func signalAll(pid int, sig syscall.Signal) error {
	ns := func(pid int) (string, error) { return os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/pid") }
	want, err := ns(pid)
	if err != nil {
		return err
	}
	if own, err := ns(os.Getpid()); err != nil || own == want {
		return errors.Join(err, errors.New("kill --all: the container has no pid namespace of its own"))
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if got, err := ns(n); err != nil || got != want {
			continue
		}
		if err := syscall.Kill(n, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("kill process %d: %w", n, err))
		}
	}
	return errors.Join(errs...)
}

func newDelete(r *runtime) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "delete [flags] ID",
		Short: "Forget a stopped container",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.open(args[0])
			if errors.Is(err, state.ErrNotFound) && force {
				return nil
			}
			if err != nil {
				return err
			}
			rec, status, err := c.Status()
			if err != nil {
				return err
			}
			if status != specs.StateStopped {
				if !force {
					return problem.Hint(fmt.Errorf("delete container %s: it is %s", c.ID, status),
						"run: nook oci delete --force %s", c.ID)
				}
				if err := stop(cmd, rec, status); err != nil {
					return err
				}
			}
			return r.delete(c, rec)
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "kill the container first if it is alive; a container that is gone is no error")
	return cmd
}

// stop kills init and waits until it is gone.
func stop(cmd *cobra.Command, rec state.Record, status specs.ContainerState) error {
	if status == specs.StateCreating {
		return errors.New("delete: the container is just being created by another process")
	}
	if err := signalInit(rec, syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if alive, err := rec.Alive(); err != nil || !alive {
			return err
		}
		select {
		case <-cmd.Context().Done():
			return cmd.Context().Err()
		case <-tick.C:
		}
	}
}

// delete runs the poststop hooks when nothing but their report is left to go
// wrong (runtime-spec, runtime.md "Lifecycle" 12 and 13).
func (r *runtime) delete(c *state.Container, rec state.Record) error {
	if rec.OwnCgroup && rec.ThisBoot() {
		if err := cgroups.RemoveDir(rec.Cgroup); err != nil {
			return fmt.Errorf("delete container %s: %w", c.ID, err)
		}
	}
	spec, err := c.Spec()
	if err != nil {
		return errors.Join(c.Remove(), err)
	}
	if err := c.Remove(); err != nil {
		return err
	}
	if spec.Hooks == nil {
		return nil
	}
	st := stateOf(c, rec, spec, specs.StateStopped)
	r.runEach("poststop", spec.Hooks.Poststop, st)
	return nil
}
