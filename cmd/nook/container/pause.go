package container

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
)

func newPause(f *cmdutil.Factory) *cobra.Command {
	return stopGo(f, &cobra.Command{
		Use:   "pause [flags] CONTAINER...",
		Short: "Make the processes of containers stand still",
		Long: `Make every process of running containers stand still where it is, until unpause.
It keeps its memory and its files, and notices nothing.

This needs a control group of the container's own (cgroup v2).`,
		Example: "  nook pause web\n  nook pause --all",
	}, state.Running, "every running container", container.Pause)
}

func newUnpause(f *cmdutil.Factory) *cobra.Command {
	return stopGo(f, &cobra.Command{
		Use:     "unpause [flags] CONTAINER...",
		Short:   "Let the processes of paused containers go on",
		Long:    "Let the processes of paused containers go on where they were.",
		Example: "  nook unpause web\n  nook unpause --all",
	}, state.Paused, "every paused container", container.Unpause)
}

// stopGo completes a verb that, with --all, is for the containers in one state.
func stopGo(f *cmdutil.Factory, cmd *cobra.Command, all, help string, work func(*state.Container) error) *cobra.Command {
	t := &targets{}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := f.State()
		if err != nil {
			return err
		}
		if t.all {
			t.filters = append(t.filters, "status="+all)
		}
		found, err := t.find(f, s, args)
		if err != nil {
			return err
		}
		return each(cmd.Context(), f, found, always125, func(_ context.Context, c *state.Container) error { return work(c) })
	}
	t.add(cmd.Flags(), cmd.Name(), help)
	return cmd
}
