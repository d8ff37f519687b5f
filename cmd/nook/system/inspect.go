package system

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/container"
	"github.com/nook-containers/nook/cmd/nook/image"
	"github.com/nook-containers/nook/cmd/nook/volume"
	"github.com/nook-containers/nook/libpod/state"
	libvolume "github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
)

type inspectOptions struct{ format, kind string }

// Kinds of objects that inspect looks for.
const (
	kindAll       = "all"
	kindContainer = "container"
	kindImage     = "image"
	kindVolume    = "volume"
)

func newInspect(f *cmdutil.Factory) *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:     "inspect [flags] NAME...",
		Short:   "Show all about containers, images and volumes",
		Long:    "Show all about containers, images and volumes, as a JSON array. A container's name beats an image's, and that a volume's.",
		Example: "  nook inspect web\n  nook inspect --type image --format '{{.Id}}' busybox",
		Args:    cmdutil.MinArgs(1, "a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch o.kind {
			case kindAll, kindContainer, kindImage:
			case kindVolume:
				return inspectVolumes(f, o.format, args)
			default:
				return fmt.Errorf("--type %q: want all, container, image or volume", o.kind)
			}
			return o.inspect(cmd.Context(), f, args)
		},
	}
	cmd.Flags().StringVarP(&o.format, "format", "f", "", "`json` or TEMPLATE")
	cmd.Flags().StringVarP(&o.kind, "type", "t", kindAll, "all, container, image or volume")
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
			if err == nil {
				objects[i] = img
				continue
			}
			if !errors.Is(err, store.ErrNotFound) || o.kind == kindImage {
				return err
			}
			v, err := volume.Describe(f, name)
			if errors.Is(err, libvolume.ErrNotFound) {
				return problem.Hint(fmt.Errorf("%s: no such container, image or volume", name), "run: nook ps -a; nook images; nook volume ls")
			}
			if err != nil {
				return err
			}
			objects[i] = v
		}
		return cmdutil.RenderObjects(f.Out, o.format, objects)
	})
}

func inspectVolumes(f *cmdutil.Factory, format string, names []string) error {
	var found []*volume.Inspect
	for _, name := range names {
		v, err := volume.Describe(f, name)
		if err != nil {
			return err
		}
		found = append(found, v)
	}
	return cmdutil.RenderObjects(f.Out, format, found)
}
