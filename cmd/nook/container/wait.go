package container

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
)

type waitOptions struct {
	targets
	conditions []string
	first      bool
	interval   string
}

func newWait(f *cmdutil.Factory) *cobra.Command {
	o := &waitOptions{}
	cmd := &cobra.Command{
		Use:   "wait [flags] CONTAINER...",
		Short: "Wait until containers have ended and print their exit codes",
		Long: `Wait until containers do not run, or until one of the conditions holds, and print
their exit codes, one a line, in the order of the arguments: 0 for a container that
never ran, -1 for one that has not ended.

A container that ends while its health is waited for is an error.`,
		Example: "  nook wait job\n  nook wait --condition healthy db",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			s, err := f.State()
			if err != nil {
				return err
			}
			found, err := o.findAll(f, s, args)
			if err != nil {
				return err
			}
			return o.wait(cmd.Context(), f, found)
		},
	}
	fl := cmd.Flags()
	o.addAs(fl, "wait", "every container", "", "")
	fl.StringSliceVar(&o.conditions, "condition", []string{container.CondStopped}, "what to wait for: "+strings.Join(container.Conditions(), ", "))
	fl.BoolVar(&o.first, "exit-first-match", false, "wait for one container only, the first that meets a condition")
	fl.StringVarP(&o.interval, "interval", "i", "250ms", "how late a change may be noticed; it always is at once")
	return cmd
}

func (o *waitOptions) check() error {
	for _, c := range o.conditions {
		if !slices.Contains(container.Conditions(), c) {
			return problem.Hint(fmt.Errorf("--condition %q: unknown", c), "use one of: %s", strings.Join(container.Conditions(), ", "))
		}
	}
	if _, err := time.ParseDuration(o.interval); err != nil {
		if _, err := time.ParseDuration(o.interval + "ms"); err != nil {
			return fmt.Errorf("--interval %q: want a duration, or milliseconds", o.interval)
		}
	}
	return nil
}

// findAll is find, but with --ignore a missing container has a line too.
func (o *waitOptions) findAll(f *cmdutil.Factory, s state.Store, args []string) ([]target, error) {
	ignore := o.ignore
	o.ignore = false
	found, err := o.find(f, s, args)
	o.ignore = ignore
	return found, err
}

type waited struct {
	code int
	err  error
}

func (o *waitOptions) wait(ctx context.Context, f *cmdutil.Factory, found []target) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.first {
		if i := slices.IndexFunc(found, func(t target) bool { return t.err != nil }); i >= 0 && !o.ignore {
			return found[i].err
		}
	}
	results := make([]chan waited, len(found))
	fastest := make(chan waited, len(found))
	for i, t := range found {
		results[i] = make(chan waited, 1)
		go func() {
			w := o.one(ctx, t)
			results[i] <- w
			fastest <- w
		}()
	}
	if o.first && len(found) > 0 {
		return o.print(f, <-fastest)
	}
	var err error
	for _, r := range results {
		if perr := o.print(f, <-r); perr != nil {
			f.Report(perr)
			err = &cmdutil.ExitError{Code: cmdutil.ExitFailure}
		}
	}
	return err
}

func (o *waitOptions) one(ctx context.Context, t target) (w waited) {
	if w.err = t.err; w.err == nil {
		w.code, w.err = container.Await(ctx, t.c, o.conditions)
	}
	if o.ignore && errors.Is(w.err, state.ErrNotFound) {
		return waited{code: container.NoExitCode}
	}
	return w
}

func (o *waitOptions) print(f *cmdutil.Factory, w waited) error {
	if w.err == nil {
		fmt.Fprintln(f.Out, w.code)
	}
	return w.err
}
