package container

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/problem"
)

func newRename(f *cmdutil.Factory) *cobra.Command {
	return &cobra.Command{
		Use:     "rename CONTAINER NAME",
		Short:   "Give a container another name",
		Long:    "Give a container another name. It may be running.",
		Example: "  nook rename quick_shed web",
		Args:    cmdutil.ExactArgs(2, "a container and its new name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := syntax.Name(args[1]); err != nil {
				return err
			}
			s, err := f.State()
			if err != nil {
				return err
			}
			c, err := s.Lookup(args[0])
			if errors.Is(err, state.ErrNotFound) {
				err = problem.Hint(err, "run: nook ps -a")
			}
			if err != nil {
				return err
			}
			old := c.Name
			if err := c.Rename(args[1]); err != nil {
				return err
			}
			events.Tell(c, events.Rename, events.Attribute("oldName", old))
			if err := network.Of(s).Renamed(cmd.Context(), c); err != nil {
				return fmt.Errorf("%s is renamed, but its neighbours know its old name: %w", c.Name, err)
			}
			return nil
		},
	}
}
