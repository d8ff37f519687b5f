package image

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/pkg/store"
)

// PruneOptions say which images to remove.
type PruneOptions struct {
	All      bool // also those with a name, that no container is made of
	External bool // also those that only other tools' containers are made of
	Filters  []string
}

func newPrune(f *cmdutil.Factory) *cobra.Command {
	var o PruneOptions
	var force bool
	cmd := &cobra.Command{
		Use:   "prune [flags]",
		Short: "Remove images that nothing needs",
		Long: `Remove images that have no name, and that no container and no other image is
made of, or with --all those with a name too, and print their ids.`,
		Example: "  nook image prune --all --force --filter until=240h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			what := "This removes all images without a name that nothing needs."
			if o.All {
				what = "This removes all images that no container is made of."
			}
			if ok, err := f.Confirm(what, force); err != nil || !ok {
				return err
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				ids, err := Prune(ctx, e, o)
				for _, id := range ids {
					fmt.Fprintln(f.Out, id)
				}
				return err
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.All, "all", "a", false, "also images with a name, unless a container is made of them")
	fl.BoolVar(&o.External, "external", false, "also images of other tools' containers, with these")
	fl.BoolVarP(&force, "force", "f", false, "do not ask")
	fl.StringArrayVar(&o.Filters, "filter", nil, "only images with `KEY=VALUE`: until, label, label! or dangling")
	return cmd
}

// pruneFilters are those of lists that say something about an image alone.
func pruneFilters(s *store.Store) cmdutil.Filters[*listed] {
	f := imageFilters(s)
	for key := range f {
		if !slices.Contains([]string{"until", "label", "label!", "dangling"}, key) {
			delete(f, key)
		}
	}
	return f
}

func (o *PruneOptions) check() error {
	_, err := pruneFilters(nil).Compile(o.Filters)
	return err
}

// Prune removes images and returns their ids. What an image was built on may
// become useless with it.
func Prune(ctx context.Context, e *container.Engine, o PruneOptions) (removed []string, err error) {
	keep, err := pruneFilters(e.Layers).Compile(o.Filters)
	if err != nil {
		return nil, err
	}
	var errs []error
	tried := map[string]bool{}
	for ctx.Err() == nil {
		all, err := collect(e.Layers)
		if err != nil {
			return removed, errors.Join(append(errs, err)...)
		}
		i := slices.IndexFunc(all, func(l *listed) bool { return !tried[l.ID] && keep(l) && o.useless(l) })
		if i < 0 {
			events.TellType(e.State, events.Image, events.Prune)
			return removed, errors.Join(errs...)
		}
		tried[all[i].ID] = true
		switch err := o.remove(e, all[i]); {
		case err == nil:
			removed = append(removed, all[i].ID)
		case errors.Is(err, store.ErrInUse), errors.Is(err, store.ErrNotFound): // since we looked
		default:
			errs = append(errs, err)
		}
	}
	return removed, context.Cause(ctx)
}

func (o *PruneOptions) useless(l *listed) bool {
	return !l.ReadOnly && (o.All || !l.named() && !l.children) && (l.users == 0 || o.External)
}

func (o *PruneOptions) remove(e *container.Engine, l *listed) error {
	if o.External && l.users > 0 {
		if err := dropForeign(e, l.ID); err != nil {
			return err
		}
	}
	return e.Layers.Remove(l.ID)
}

// dropForeign deletes the containers of an image that are not nook's.
func dropForeign(e *container.Engine, imageID string) error {
	users, err := e.Layers.Users(imageID)
	if err != nil {
		return err
	}
	others, err := container.External(e)
	if err != nil {
		return err
	}
	for _, id := range users {
		if !slices.ContainsFunc(others, func(l container.Listed) bool { return l.ID == id }) {
			continue // ours: Remove refuses
		}
		if err := e.Layers.DeleteContainer(id); err != nil {
			return err
		}
	}
	return nil
}
