package image

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/pkg/store"
)

func newExists(f *cmdutil.Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "exists IMAGE",
		Short: "Tell by the exit status whether an image is there",
		Long:  "Exit with 0 if the image is there, with 1 if it is not, and with 125 if that cannot be told. Nothing is printed for the first two.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.InStore(cmd.Context(), func(_ context.Context, s *store.Store) error {
				_, err := s.Lookup(args[0])
				if errors.Is(err, store.ErrNotFound) {
					return &cmdutil.ExitError{Code: 1}
				}
				if errors.Is(err, store.ErrAmbiguous) {
					return nil
				}
				return err
			})
		},
	}
}
