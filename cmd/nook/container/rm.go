package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
)

type rmOptions struct {
	targets
	ending
	force, depend, volumes bool
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
			_, grace, err := o.parse()
			if err != nil {
				return err
			}
			if err := o.check(f, args); err != nil {
				return err
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				return o.run(ctx, f, e, container.RemoveOptions{Force: o.force, Volumes: o.volumes, Timeout: grace}, args)
			})
		},
	}
	fl := cmd.Flags()
	o.verb, o.flags = "rm", listFlags()
	fl.BoolVarP(&o.force, "force", "f", false, "end running containers first; a missing one is no error")
	fl.BoolVarP(&o.all, "all", "a", false, "every container")
	fl.BoolVarP(&o.latest, "latest", "l", false, "the container made last")
	fl.BoolVarP(&o.volumes, "volumes", "v", false, "remove their anonymous volumes too")
	fl.BoolVar(&o.depend, "depend", false, "remove containers that require them, or have namespaces of them, too")
	fl.BoolVarP(&o.ignore, "ignore", "i", false, "a missing container is no error")
	fl.StringArrayVar(&o.cidFiles, "cidfile", nil, "read the container's id from this file")
	fl.StringArrayVar(&o.filters, "filter", nil, "those that a filter selects, as ps has them: `KEY=VALUE`")
	o.ending.add(fl)
	return cmd
}

// names adds those that require a container to found.
func (o *rmOptions) names(e *container.Engine, found []target) ([]string, error) {
	names := make([]string, len(found))
	for i, t := range found {
		names[i] = t.name
		if t.c != nil && o.depend {
			names[i] = t.c.ID
		}
	}
	if o.depend {
		return withDependents(e.State, names)
	}
	return names, nil
}

func (o *rmOptions) run(ctx context.Context, f *cmdutil.Factory, e *container.Engine, opts container.RemoveOptions, args []string) error {
	o.ignore = o.ignore || o.force
	found, err := o.find(f, e.State, args)
	if err != nil {
		return err
	}
	names, err := o.names(e, found)
	if err != nil {
		return err
	}
	status := 0
	for len(names) > 0 {
		var needed []string // by others, who may be among them
		var errs []error
		for _, name := range names {
			err := removeOne(ctx, e, name, opts)
			switch {
			case err == nil:
				fmt.Fprintln(f.Out, name)
			case errors.Is(err, state.ErrNotFound) && o.ignore:
			case errors.Is(err, container.ErrDependents):
				needed, errs = append(needed, name), append(errs, err)
			default:
				status = max(status, failure(err))
				f.Report(err)
			}
		}
		if len(needed) == len(names) {
			for _, err := range errs {
				status = max(status, failure(err))
				f.Report(err)
			}
			break
		}
		names = needed
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
