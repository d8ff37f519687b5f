package system

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	cmdcontainer "github.com/nook-containers/nook/cmd/nook/container"
	"github.com/nook-containers/nook/cmd/nook/image"
	"github.com/nook-containers/nook/cmd/nook/network"
	"github.com/nook-containers/nook/cmd/nook/pod"
	"github.com/nook-containers/nook/cmd/nook/volume"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/pkg/units"
)

type pruneOptions struct {
	all, external, force, volumes bool
	filters                       []string
}

func newPrune(f *cmdutil.Factory) *cobra.Command {
	var o pruneOptions
	cmd := &cobra.Command{
		Use:   "prune [flags]",
		Short: "Remove pods, containers, networks, images and volumes that nothing needs",
		Long: `Remove pods that have ended and containers that do not run, and then
networks that no container is in, and images without a name that nothing needs, or
with --all every image that no container is made of. With --volumes remove anonymous
volumes that no container uses, too.`,
		Example: "  nook system prune --force\n  nook system prune --all --volumes --filter label=test",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if ok, err := f.Confirm(o.warning(), o.force); err != nil || !ok {
				return err
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				return o.run(ctx, f, e)
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.all, "all", "a", false, "every image that no container is made of")
	fl.BoolVar(&o.external, "external", false, "also images of other tools' containers, with these")
	fl.BoolVarP(&o.force, "force", "f", false, "do not ask")
	fl.BoolVar(&o.volumes, "volumes", false, "also anonymous volumes")
	fl.StringArrayVar(&o.filters, "filter", nil, "only what has `KEY=VALUE`: until, label or label!")
	return cmd
}

// check knows the filters that all kinds have.
func (o *pruneOptions) check() error {
	known := cmdutil.Filters[struct{}]{}
	for _, key := range []string{"until", "label", "label!"} {
		known[key] = func(string) (func(struct{}) bool, error) { return func(struct{}) bool { return true }, nil }
	}
	if _, err := known.Compile(o.filters); err != nil {
		return err
	}
	until := slices.ContainsFunc(o.filters, func(f string) bool { return strings.HasPrefix(f, "until=") })
	if until && o.volumes {
		return errors.New("--filter until does not go with --volumes")
	}
	return nil
}

func (o *pruneOptions) warning() string {
	what := []string{
		"all pods that have ended", "all containers that do not run", "all networks that no container is in",
		"all images without a name that nothing needs",
	}
	if o.all {
		what[3] = "all images that no container is made of"
	}
	if o.volumes {
		what = append(what, "all anonymous volumes that no container uses")
	}
	return "This removes " + strings.Join(what, ", ") + "."
}

func (o *pruneOptions) run(ctx context.Context, f *cmdutil.Factory, e *container.Engine) error {
	before, err := measure(ctx, e)
	if err != nil {
		return err
	}
	steps := []struct {
		title string
		prune func() ([]string, error)
	}{
		{"Deleted Pods", func() ([]string, error) { return pod.Prune(ctx, e, o.filters) }},
		{"Deleted Containers", func() ([]string, error) { return cmdcontainer.Prune(ctx, e, o.filters) }},
		{"Deleted Networks", func() ([]string, error) { return network.Prune(f, o.filters) }},
		{"Deleted Volumes", func() ([]string, error) {
			if !o.volumes {
				return nil, nil
			}
			return volume.Prune(ctx, f, e, o.filters)
		}},
		{"Deleted Images", func() ([]string, error) {
			return image.Prune(ctx, e, image.PruneOptions{All: o.all, External: o.external, Filters: o.filters})
		}},
	}
	var errs []error
	for _, s := range steps {
		removed, err := s.prune()
		errs = append(errs, err)
		if len(removed) > 0 {
			fmt.Fprintf(f.Out, "%s\n%s\n", s.title, strings.Join(removed, "\n"))
		}
	}
	after, err := measure(ctx, e)
	if err == nil {
		_, err = fmt.Fprintln(f.Out, "Total reclaimed space:", units.Compact(max(0, before.total()-after.total())))
	}
	return errors.Join(append(errs, err)...)
}
