package system

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/container"
	"github.com/nook-containers/nook/cmd/nook/image"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
)

type inspectOptions struct{ format, kind string }

// Kinds of objects that inspect looks for.
const (
	kindAll       = "all"
	kindContainer = "container"
	kindImage     = "image"
)

func newInspect(f *cmdutil.Factory) *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:     "inspect [flags] NAME...",
		Short:   "Show all about containers and images",
		Long:    "Show all about containers and images, as a JSON array. A container's name beats an image's.",
		Example: "  nook inspect web\n  nook inspect --type image --format '{{.Id}}' busybox",
		Args:    cmdutil.MinArgs(1, "a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch o.kind {
			case kindAll, kindContainer, kindImage:
			default:
				return fmt.Errorf("--type %q: want all, container or image", o.kind)
			}
			return o.inspect(cmd.Context(), f, args)
		},
	}
	cmd.Flags().StringVarP(&o.format, "format", "f", "", "`json` or TEMPLATE")
	cmd.Flags().StringVarP(&o.kind, "type", "t", kindAll, "all, container or image")
	return cmd
}

// inspect opens the image store only for names that are no container's.
func (o inspectOptions) inspect(ctx context.Context, f *cmdutil.Factory, names []string) error {
	objects := make([]any, len(names))
	missing := false
	for i, name := range names {
		if o.kind == kindImage {
			missing = true
			continue
		}
		c, err := container.Describe(f, name)
		switch {
		case err == nil:
			objects[i] = c
		case !errors.Is(err, state.ErrNotFound):
			return err
		case o.kind == kindContainer:
			return problem.Hint(err, "run: nook ps -a")
		default:
			missing = true
		}
	}
	if !missing {
		return cmdutil.RenderObjects(f.Out, o.format, objects)
	}
	return f.InStore(ctx, func(_ context.Context, s *store.Store) error {
		for i, name := range names {
			if objects[i] != nil {
				continue
			}
			img, err := image.LookupInspect(s, name)
			if errors.Is(err, store.ErrNotFound) {
				return problem.Hint(fmt.Errorf("%s: no such container or image", name), "run: nook ps -a; nook images")
			}
			if err != nil {
				return err
			}
			objects[i] = img
		}
		return cmdutil.RenderObjects(f.Out, o.format, objects)
	})
}
