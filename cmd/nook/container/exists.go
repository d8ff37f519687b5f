package container

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/state"
)

func newExists(f *cmdutil.Factory) *cobra.Command {
	return &cobra.Command{
		Use:     "exists CONTAINER",
		Short:   "Tell by the exit status whether a container exists",
		Long:    "Exit with 0 if the container exists, 1 if not, 125 if that cannot be told.",
		Example: "  nook container exists web || nook create --name web nginx",
		Args:    cmdutil.ExactArgs(1, "a container"),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := f.State()
			if err != nil {
				return err
			}
			_, err = s.Lookup(args[0])
			if errors.Is(err, state.ErrNotFound) {
				return &cmdutil.ExitError{Code: exitNotFound}
			}
			return err
		},
	}
}
