package container

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
)

type rmOptions struct {
	force, all, ignore bool
	volumes, depend    bool
	timeout            int
	cidFiles           []string
}

// Exit statuses of rm, as podman-rm(1): nothing else went wrong, but one was not
// there, or one was running.
const (
	exitNotFound = 1
	exitInUse    = 2
)

func newRm(f *cmdutil.Factory) *cobra.Command {
	o := &rmOptions{}
	cmd := &cobra.Command{
		Use:   "rm [flags] CONTAINER...",
		Short: "Remove containers",
		Long: `Remove containers and print what was asked for, one a line.

Exit status: 1 if a container does not exist, 2 if one is running, 125 for any
other failure.`,
		Example: "  nook rm web\n  nook rm -f -t 0 web\n  nook rm --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(args); err != nil {
				return err
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				return o.run(ctx, f, e, args)
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.force, "force", "f", false, "end running containers first; a missing one is no error")
	fl.BoolVarP(&o.all, "all", "a", false, "every container")
	fl.BoolVarP(&o.volumes, "volumes", "v", false, "remove their anonymous volumes too")
	fl.BoolVar(&o.depend, "depend", false, "remove containers that have namespaces of them first")
	fl.BoolVarP(&o.ignore, "ignore", "i", false, "a missing container is no error")
	fl.IntVarP(&o.timeout, "time", "t", int(container.DefaultStopTimeout/time.Second), "seconds between the stop signal and SIGKILL; -1 waits for ever")
	fl.StringArrayVar(&o.cidFiles, "cidfile", nil, "read the container's id from this file")
	return cmd
}

func (o *rmOptions) check(args []string) error {
	switch named := len(args) + len(o.cidFiles); {
	case o.all && named > 0:
		return errors.New("--all and a container exclude each other")
	case !o.all && named == 0:
		return errors.New("rm needs a container, --cidfile or --all")
	case o.timeout < -1:
		return fmt.Errorf("--time %d: want seconds, or -1", o.timeout)
	}
	return nil
}

// names adds the containers that --cidfile and --all stand for.
func (o *rmOptions) names(e *container.Engine, args []string) ([]string, error) {
	ids, err := readIDs(o.cidFiles, o.ignore || o.force)
	if err != nil {
		return nil, err
	}
	args = append(args, ids...)
	if o.all {
		all, errs := e.State.List()
		if len(errs) > 0 {
			return nil, errors.Join(errs...)
		}
		for _, c := range all {
			if !c.Spec.Infra { // that goes with its pod
				args = append(args, c.ID)
			}
		}
	}
	return args, nil
}

func (o *rmOptions) run(ctx context.Context, f *cmdutil.Factory, e *container.Engine, args []string) error {
	args, err := o.names(e, args)
	if err != nil {
		return err
	}
	opts := container.RemoveOptions{Force: o.force, Volumes: o.volumes, Depend: o.depend, Timeout: time.Duration(o.timeout) * time.Second}
	if o.timeout < 0 {
		opts.Timeout = time.Duration(1<<63 - 1)
	}
	status := 0
	for _, name := range args {
		err := removeOne(ctx, e, name, opts)
		switch {
		case err == nil:
			fmt.Fprintln(f.Out, name)
			continue
		case errors.Is(err, state.ErrNotFound) && (o.ignore || o.force):
			continue
		}
		status = max(status, failure(err))
		f.Report(err)
	}
	if status != 0 {
		return &cmdutil.ExitError{Code: status}
	}
	return nil
}

// failure is the exit status for one container; of several the highest counts.
func failure(err error) int {
	switch {
	case errors.Is(err, state.ErrNotFound):
		return exitNotFound
	case errors.Is(err, state.ErrRunning), errors.Is(err, container.ErrDependents):
		return exitInUse
	default:
		return cmdutil.ExitFailure
	}
}

func removeOne(ctx context.Context, e *container.Engine, name string, o container.RemoveOptions) error {
	c, err := e.State.Lookup(name)
	if errors.Is(err, state.ErrNotFound) {
		return problem.Hint(err, "run: nook ps -a")
	}
	if err != nil {
		return err
	}
	return e.Remove(ctx, c, o)
}
