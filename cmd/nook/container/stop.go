package container

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/sys"
)

// ending is how stop and restart end a container.
type ending struct {
	timeout int
	signal  string
	set     *pflag.FlagSet
}

func (e *ending) add(fl *pflag.FlagSet) {
	e.set = fl
	fl.IntVarP(&e.timeout, "time", "t", 10, "seconds between the stop signal and SIGKILL; -1 waits for ever; default: the container's --stop-timeout")
	fl.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "timeout" { // docker's newer spelling
			name = "time"
		}
		return pflag.NormalizedName(name)
	})
}

// parse returns what container.Stop takes.
func (e *ending) parse() (sig syscall.Signal, grace time.Duration, err error) {
	if e.timeout < -1 {
		return 0, 0, fmt.Errorf("--time %d: want seconds, or -1", e.timeout)
	}
	switch grace = time.Duration(e.timeout) * time.Second; {
	case !e.set.Changed("time"):
		grace = container.OwnGrace
	case e.timeout == -1:
		grace = container.Forever
	}
	if e.signal != "" {
		sig, err = sys.ParseSignal(e.signal)
	}
	return sig, grace, err
}

type stopOptions struct {
	targets
	ending
}

func newStop(f *cmdutil.Factory) *cobra.Command {
	o := &stopOptions{}
	cmd := &cobra.Command{
		Use:   "stop [flags] CONTAINER...",
		Short: "End running containers",
		Long: `Send containers their stop signal, and SIGKILL to those that still run after
a while. Print what was asked for, one a line, when its end is on record.

A container that does not run is no error.`,
		Example: "  nook stop web\n  nook stop -t 2 --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			sig, grace, err := o.parse()
			if err != nil {
				return err
			}
			s, err := f.State()
			if err != nil {
				return err
			}
			found, err := o.find(f, s, args)
			if err != nil {
				return err
			}
			return each(cmd.Context(), f, found, always125, func(ctx context.Context, c *state.Container) error {
				return container.Stop(ctx, c, sig, grace)
			})
		},
	}
	o.targets.add(cmd.Flags(), "stop", "every container")
	o.ending.add(cmd.Flags())
	cmd.Flags().StringVarP(&o.signal, "signal", "s", "", "signal in place of the container's own")
	return cmd
}

type killOptions struct {
	targets
	signal string
}

func newKill(f *cmdutil.Factory) *cobra.Command {
	o := &killOptions{}
	cmd := &cobra.Command{
		Use:     "kill [flags] CONTAINER...",
		Short:   "Send a signal to running containers",
		Long:    "Send a signal, SIGKILL unless told otherwise, to the first process of containers.",
		Example: "  nook kill web\n  nook kill -s HUP web",
		RunE: func(cmd *cobra.Command, args []string) error {
			sig, err := sys.ParseSignal(o.signal)
			if err != nil {
				return err
			}
			s, err := f.State()
			if err != nil {
				return err
			}
			if o.all {
				o.filters = append(o.filters, "status="+state.Running)
			}
			found, err := o.find(f, s, args)
			if err != nil {
				return err
			}
			return each(cmd.Context(), f, found, always125, func(_ context.Context, c *state.Container) error {
				return container.Kill(c, sig)
			})
		},
	}
	o.add(cmd.Flags(), "kill", "every running container")
	cmd.Flags().StringVarP(&o.signal, "signal", "s", "KILL", "name or number")
	return cmd
}

type restartOptions struct {
	targets
	ending
	running bool
}

func newRestart(f *cmdutil.Factory) *cobra.Command {
	o := &restartOptions{}
	cmd := &cobra.Command{
		Use:     "restart [flags] CONTAINER...",
		Short:   "End containers and start them again",
		Long:    "Stop containers as the command stop does, those that run, and start them in the background.",
		Example: "  nook restart web\n  nook restart --running",
		RunE: func(cmd *cobra.Command, args []string) error {
			sig, grace, err := o.parse()
			if err != nil {
				return err
			}
			s, err := f.State()
			if err != nil {
				return err
			}
			if o.running {
				o.filters = append(o.filters, "status="+state.Running)
			}
			found, err := o.find(f, s, args)
			if err != nil {
				return err
			}
			return each(cmd.Context(), f, found, always125, func(ctx context.Context, c *state.Container) error {
				if err := container.Stop(ctx, c, sig, grace); err != nil {
					return err
				}
				events.Tell(c, events.Restart)
				return startAgain(ctx, f, c)
			})
		},
	}
	o.targets.add(cmd.Flags(), "restart", "every container")
	o.ending.add(cmd.Flags())
	cmd.Flags().BoolVar(&o.running, "running", false, "every container that runs")
	return cmd
}
