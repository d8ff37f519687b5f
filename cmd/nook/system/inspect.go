package system

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	cmdcontainer "github.com/nook-containers/nook/cmd/nook/container"
	"github.com/nook-containers/nook/cmd/nook/image"
	"github.com/nook-containers/nook/cmd/nook/network"
	"github.com/nook-containers/nook/cmd/nook/pod"
	"github.com/nook-containers/nook/cmd/nook/volume"
	"github.com/nook-containers/nook/libpod/container"
	libnetwork "github.com/nook-containers/nook/libpod/network"
	libpod "github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/state"
	libvolume "github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
)

type inspectOptions struct {
	cmdcontainer.InspectFlags
	kind string
}

// Kinds of objects that inspect looks for.
const (
	kindAll       = "all"
	kindContainer = "container"
	kindImage     = "image"
	kindVolume    = "volume"
	kindNetwork   = "network"
	kindPod       = "pod"
)

func newInspect(f *cmdutil.Factory) *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:     "inspect [flags] NAME...",
		Short:   "Show all about containers, images, volumes, networks and pods",
		Long:    "Show all about containers, images, volumes, networks and pods, as a JSON array. A container's name beats an image's, and so on in this order.",
		Example: "  nook inspect web\n  nook inspect --type image --format '{{.Id}}' busybox",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch o.kind {
			case kindAll, kindContainer, kindImage, kindVolume, kindNetwork, kindPod:
			default:
				return fmt.Errorf("--type %q: want all, container, image, volume, network or pod", o.kind)
			}
			if err := cmdutil.CheckFormat(o.Format, cmdutil.List[any]{}); err != nil {
				return err
			}
			names, err := o.Names(f, args)
			if err != nil {
				return err
			}
			return o.inspect(cmd.Context(), f, names)
		},
	}
	o.Add(cmd.Flags())
	cmd.Flags().StringVarP(&o.kind, "type", "t", kindAll, "all, container, image, volume, network or pod")
	return cmd
}

// inspect opens the image store only for names that are no container's, and for
// sizes.
func (o inspectOptions) inspect(ctx context.Context, f *cmdutil.Factory, names []string) error {
	s := &search{f: f, kind: o.kind, objects: make([]any, len(names)), errs: make([]error, len(names))}
	again := o.Size
	for i, name := range names {
		s.outside(i, name)
		again = again || s.objects[i] == nil && s.errs[i] == nil
	}
	if !again {
		return s.print(o.Format)
	}
	return f.InEngine(ctx, func(ctx context.Context, e *container.Engine) error {
		for i, name := range names {
			if o.Size {
				s.measure(ctx, e, i, name)
			}
			if s.objects[i] == nil && s.errs[i] == nil {
				s.inside(e, i, name)
			}
		}
		return s.print(o.Format)
	})
}

// search finds what names mean. Each has an object or an error in the end.
type search struct {
	f       *cmdutil.Factory
	kind    string
	objects []any
	errs    []error
}

func (s *search) wants(kind string) bool { return s.kind == kindAll || s.kind == kind }

// outside finds what needs no store: containers, and volumes and networks if they are
// asked for.
func (s *search) outside(i int, name string) {
	switch s.kind {
	case kindVolume:
		s.volume(i, name)
	case kindNetwork:
		s.network(i, name)
	case kindPod:
		s.pod(i, name)
	case kindAll, kindContainer:
		c, err := cmdcontainer.Describe(s.f, name)
		switch {
		case err == nil:
			s.objects[i] = c
		case s.kind == kindContainer && errors.Is(err, state.ErrNotFound):
			s.errs[i] = problem.Hint(err, "run: nook ps -a")
		case !errors.Is(err, state.ErrNotFound):
			s.errs[i] = err
		}
	}
}

// measure adds the sizes of a container.
func (s *search) measure(ctx context.Context, e *container.Engine, i int, name string) {
	if _, ok := s.objects[i].(*container.Inspect); !ok {
		return
	}
	c, err := cmdcontainer.Measure(ctx, e, name)
	if s.objects[i] = c; err != nil {
		s.objects[i], s.errs[i] = nil, err
	}
}

// inside finds images, and what is left.
func (s *search) inside(e *container.Engine, i int, name string) {
	img, err := image.LookupInspect(e.Layers, name)
	switch {
	case err == nil:
		s.objects[i] = img
	case !errors.Is(err, store.ErrNotFound) || s.kind == kindImage:
		s.errs[i] = err
	default:
		s.volume(i, name)
	}
}

func (s *search) volume(i int, name string) {
	v, err := volume.Describe(s.f, name)
	switch {
	case err == nil:
		s.objects[i] = v
	case errors.Is(err, libvolume.ErrNotFound) && s.wants(kindNetwork):
		s.network(i, name)
	default:
		s.errs[i] = err
	}
}

func (s *search) network(i int, name string) {
	n, err := network.Describe(s.f, name)
	switch {
	case err == nil:
		s.objects[i] = n
	case errors.Is(err, libnetwork.ErrNotFound) && s.wants(kindPod):
		s.pod(i, name)
	default:
		s.errs[i] = err
	}
}

func (s *search) pod(i int, name string) {
	p, err := pod.Describe(s.f, name)
	switch {
	case err == nil:
		s.objects[i] = p
	case errors.Is(err, libpod.ErrNotFound) && s.wants(kindContainer):
		s.errs[i] = problem.Hint(fmt.Errorf("%s: no such container, image, volume, network or pod", name), "run: nook ps -a; nook images; nook volume ls; nook network ls; nook pod ps")
	default:
		s.errs[i] = err
	}
}

// print shows what is there also when others are not.
func (s *search) print(format string) error {
	found := slices.DeleteFunc(slices.Clone(s.objects), func(o any) bool { return o == nil })
	return errors.Join(cmdutil.RenderObjects(s.f.Out, format, found), errors.Join(s.errs...))
}
