package system

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/container"
	"github.com/nook-containers/nook/cmd/nook/image"
	"github.com/nook-containers/nook/cmd/nook/pod"
	"github.com/nook-containers/nook/cmd/nook/volume"
	libpod "github.com/nook-containers/nook/libpod/pod"
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
	kindPod       = "pod"
)

func newInspect(f *cmdutil.Factory) *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:     "inspect [flags] NAME...",
		Short:   "Show all about containers, images, volumes and pods",
		Long:    "Show all about containers, images, volumes and pods, as a JSON array. A container's name beats an image's, that a volume's, and that a pod's.",
		Example: "  nook inspect web\n  nook inspect --type image --format '{{.Id}}' busybox",
		Args:    cmdutil.MinArgs(1, "a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch o.kind {
			case kindAll, kindContainer, kindImage:
			case kindVolume:
				return inspectOnly(f, o.format, args, volume.Describe)
			case kindPod:
				return inspectOnly(f, o.format, args, pod.Describe)
			default:
				return fmt.Errorf("--type %q: want all, container, image, volume or pod", o.kind)
			}
			return o.inspect(cmd.Context(), f, args)
		},
	}
	cmd.Flags().StringVarP(&o.format, "format", "f", "", "`json` or TEMPLATE")
	cmd.Flags().StringVarP(&o.kind, "type", "t", kindAll, "all, container, image, volume or pod")
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
			if objects[i], err = volumeOrPod(f, name); err != nil {
				return err
			}
		}
		return cmdutil.RenderObjects(f.Out, o.format, objects)
	})
}

func volumeOrPod(f *cmdutil.Factory, name string) (any, error) {
	v, err := volume.Describe(f, name)
	if !errors.Is(err, libvolume.ErrNotFound) {
		return v, err
	}
	p, err := pod.Describe(f, name)
	if errors.Is(err, libpod.ErrNotFound) {
		return nil, problem.Hint(fmt.Errorf("%s: no such container, image, volume or pod", name), "run: nook ps -a; nook images; nook volume ls; nook pod ps")
	}
	return p, err
}

// inspectOnly is for kinds that need no store.
func inspectOnly[T any](f *cmdutil.Factory, format string, names []string, describe func(*cmdutil.Factory, string) (T, error)) error {
	var found []T
	for _, name := range names {
		v, err := describe(f, name)
		if err != nil {
			return err
		}
		found = append(found, v)
	}
	return cmdutil.RenderObjects(f.Out, format, found)
}
