package container

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/pkg/problem"
)

func newInspect(f *cmdutil.Factory) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "inspect [flags] CONTAINER...",
		Short:   "Show all about containers",
		Example: "  nook container inspect --format '{{.State.ExitCode}}' web",
		Args:    cmdutil.MinArgs(1, "a container"),
		RunE: func(_ *cobra.Command, args []string) error {
			var found []*container.Inspect
			var errs []error
			for _, name := range args {
				c, err := Describe(f, name)
				if err != nil {
					errs = append(errs, problem.Hint(err, "run: nook ps -a"))
					continue
				}
				found = append(found, c)
			}
			// What is there shows also when others are not.
			return errors.Join(cmdutil.RenderObjects(f.Out, format, found), errors.Join(errs...))
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "`json` or TEMPLATE")
	return cmd
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
