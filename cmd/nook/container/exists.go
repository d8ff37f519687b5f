package container

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
)

func newExists(f *cmdutil.Factory) *cobra.Command {
	var external bool
	cmd := &cobra.Command{
		Use:     "exists [flags] CONTAINER",
		Short:   "Tell by the exit status whether a container exists",
		Long:    "Exit with 0 if the container exists, 1 if not, 125 if that cannot be told.",
		Example: "  nook container exists web || nook create --name web nginx",
		Args:    cmdutil.ExactArgs(1, "a container"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.State()
			if err != nil {
				return err
			}
			_, err = s.Lookup(args[0])
			switch {
			case !errors.Is(err, state.ErrNotFound):
				return err
			case !external:
				return &cmdutil.ExitError{Code: exitNotFound}
			}
			return f.InEngine(cmd.Context(), func(_ context.Context, e *container.Engine) error {
				others, err := container.External(e)
				if err != nil || slices.ContainsFunc(others, func(l container.Listed) bool { return l.Name == args[0] || strings.HasPrefix(l.ID, args[0]) }) {
					return err
				}
				return &cmdutil.ExitError{Code: exitNotFound}
			})
		},
	}
	cmd.Flags().BoolVar(&external, "external", false, "also containers that other tools keep in the store")
	return cmd
}
