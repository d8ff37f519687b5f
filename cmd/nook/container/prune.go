package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/state"
)

type pruneOptions struct {
	force   bool
	filters []string
}

func newPrune(f *cmdutil.Factory) *cobra.Command {
	o := &pruneOptions{}
	cmd := &cobra.Command{
		Use:     "prune [flags]",
		Short:   "Remove all containers that do not run",
		Long:    "Remove all containers that do not run, and print their ids.",
		Example: "  nook container prune -f --filter until=24h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(f); err != nil {
				return err
			}
			if !f.Inside && !o.force {
				if !confirmed(f, "This removes all containers that do not run.") {
					return nil
				}
				f.Args = append(f.Args, "--force") // asked once, outside
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				return o.run(ctx, f, e)
			})
		},
	}
	cmd.Flags().BoolVarP(&o.force, "force", "f", false, "do not ask")
	cmd.Flags().StringArrayVar(&o.filters, "filter", nil, "only containers with `KEY=VALUE`: until, label, label!")
	return cmd
}

func (o *pruneOptions) check(f *cmdutil.Factory) error {
	for _, arg := range o.filters {
		key, _, _ := strings.Cut(arg, "=")
		if !slices.Contains([]string{"until", "label", "label!"}, key) {
			return fmt.Errorf("filter %q: unknown; label!, label and until are there", arg)
		}
	}
	s, err := f.State()
	if err != nil {
		return err
	}
	_, err = filters(s).Compile(o.filters)
	return err
}

// confirmed asks the user.
func confirmed(f *cmdutil.Factory, what string) bool {
	fmt.Fprintf(f.Err, "%s\nGo on? [y/N] ", what)
	answer, _ := bufio.NewReader(f.In).ReadString('\n') // the end of input is a no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}

func (o *pruneOptions) run(ctx context.Context, f *cmdutil.Factory, e *container.Engine) error {
	keep, err := filters(e.State).Compile(o.filters)
	if err != nil {
		return err
	}
	list, errs := container.List(e.State)
	for _, l := range list {
		if l.Word == state.Running || l.Spec.Infra || !keep(l) {
			continue
		}
		switch err := e.Remove(ctx, l.Container, container.RemoveOptions{}); {
		case err == nil:
			fmt.Fprintln(f.Out, l.ID)
		case errors.Is(err, state.ErrRunning), errors.Is(err, state.ErrNotFound), // it was started or removed since
			errors.Is(err, container.ErrDependents):
		default:
			errs = append(errs, err)
		}
	}
	events.TellType(e.State, events.Container, events.Prune)
	return errors.Join(errs...)
}
