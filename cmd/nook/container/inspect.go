package container

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/pkg/problem"
)

// InspectFlags are those that commands have which show containers.
type InspectFlags struct {
	Format       string
	Size, Latest bool
}

// Add adds the flags to fl.
func (o *InspectFlags) Add(fl *pflag.FlagSet) {
	fl.StringVarP(&o.Format, "format", "f", "", "`json` or TEMPLATE")
	fl.BoolVarP(&o.Size, "size", "s", false, "also how much containers wrote, which takes time")
	fl.BoolVarP(&o.Latest, "latest", "l", false, "the container made last")
}

// Names are the objects to show.
func (o *InspectFlags) Names(f *cmdutil.Factory, args []string) ([]string, error) {
	switch {
	case o.Latest && len(args) > 0:
		return nil, errors.New("--latest and a name exclude each other")
	case !o.Latest && len(args) == 0:
		return nil, errors.New("inspect needs a name, or --latest")
	case !o.Latest:
		return args, nil
	}
	s, err := f.State()
	if err != nil {
		return nil, err
	}
	found, err := (&targets{verb: "inspect", latest: true}).find(f, s, nil)
	if err != nil {
		return nil, err
	}
	return []string{found[0].name}, nil
}

func newInspect(f *cmdutil.Factory) *cobra.Command {
	var o InspectFlags
	cmd := &cobra.Command{
		Use:     "inspect [flags] CONTAINER...",
		Short:   "Show all about containers",
		Example: "  nook container inspect --format '{{.State.ExitCode}}' web",
		RunE: func(cmd *cobra.Command, args []string) error {
			names, err := o.Names(f, args)
			if err != nil {
				return err
			}
			if err := cmdutil.CheckFormat(o.Format, cmdutil.List[*container.Inspect]{}); err != nil {
				return err
			}
			if !o.Size {
				return o.show(f, names, func(name string) (*container.Inspect, error) { return Describe(f, name) })
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				return o.show(f, names, func(name string) (*container.Inspect, error) { return Measure(ctx, e, name) })
			})
		},
	}
	o.Add(cmd.Flags())
	return cmd
}

func (o *InspectFlags) show(f *cmdutil.Factory, names []string, describe func(string) (*container.Inspect, error)) error {
	var found []*container.Inspect
	var errs []error
	for _, name := range names {
		c, err := describe(name)
		if err != nil {
			errs = append(errs, problem.Hint(err, "run: nook ps -a"))
			continue
		}
		found = append(found, c)
	}
	// What is there shows also when others are not.
	return errors.Join(cmdutil.RenderObjects(f.Out, o.Format, found), errors.Join(errs...))
}

// Measure is Describe with sizes.
func Measure(ctx context.Context, e *container.Engine, nameOrID string) (*container.Inspect, error) {
	c, err := e.State.Lookup(nameOrID)
	if err != nil {
		return nil, err
	}
	i, err := container.Describe(c)
	if err != nil {
		return nil, err
	}
	written, all, err := e.Size(ctx, c)
	i.SizeRw, i.SizeRootFs = &written, &all
	return i, err
}

// Describe is what "container inspect" shows about one container.
func Describe(f *cmdutil.Factory, nameOrID string) (*container.Inspect, error) {
	s, err := f.State()
	if err != nil {
		return nil, err
	}
	c, err := s.Lookup(nameOrID)
	if err != nil {
		return nil, err
	}
	return container.Describe(c)
}
