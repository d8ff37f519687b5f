package container

import (
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
			if ok, err := f.Confirm("This removes all containers that do not run.", o.force); err != nil || !ok {
				return err
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

func (o *pruneOptions) run(ctx context.Context, f *cmdutil.Factory, e *container.Engine) error {
	ids, err := Prune(ctx, e, o.filters)
	for _, id := range ids {
		fmt.Fprintln(f.Out, id)
	}
	return err
}

// Prune removes the containers that do not run, of those that the filters select,
// and returns their ids.
func Prune(ctx context.Context, e *container.Engine, args []string) (removed []string, err error) {
	keep, err := filters(e.State).Compile(args)
	if err != nil {
		return nil, err
	}
	list, errs := container.List(e.State)
	for _, l := range list {
		if l.Status.Monitor != 0 || l.Spec.Infra || !keep(l) {
			continue
		}
		switch err := e.Remove(ctx, l.Container, container.RemoveOptions{}); {
		case err == nil:
			removed = append(removed, l.ID)
		case errors.Is(err, state.ErrRunning), errors.Is(err, state.ErrNotFound), // it was started or removed since
			errors.Is(err, container.ErrDependents):
		default:
			errs = append(errs, err)
		}
	}
	events.TellType(e.State, events.Container, events.Prune)
	return removed, errors.Join(errs...)
}
