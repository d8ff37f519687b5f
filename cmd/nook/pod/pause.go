package pod

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	libcontainer "github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/state"
)

func newPause(f *cmdutil.Factory) *cobra.Command {
	return stopGo(f, &cobra.Command{
		Use:   "pause [flags] POD...",
		Short: "Make the processes of pods stand still",
		Long: `Make every process of the running containers of pods stand still where it is,
until unpause. If one of them cannot be paused, none of its pod is.

This needs a control group of each container's own (cgroup v2).`,
		Example: "  nook pod pause web\n  nook pod pause --all",
	}, state.Running, libcontainer.PausePod)
}

func newUnpause(f *cmdutil.Factory) *cobra.Command {
	return stopGo(f, &cobra.Command{
		Use:     "unpause [flags] POD...",
		Short:   "Let the processes of paused pods go on",
		Long:    "Let the processes of the paused containers of pods go on where they were.",
		Example: "  nook pod unpause web\n  nook pod unpause --all",
	}, state.Paused, libcontainer.UnpausePod)
}

// stopGo completes a verb that, with --all, is for the pods that have a container in
// one state.
func stopGo(f *cmdutil.Factory, cmd *cobra.Command, all string, work func(*pod.Pod) error) *cobra.Command {
	t := &targets{}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		found, err := t.find(f, args)
		if err != nil {
			return err
		}
		if t.all {
			found = slices.DeleteFunc(found, func(t target) bool { return !anyIs(t.pod, all) })
		}
		return each(cmd.Context(), f, found, always125, func(_ context.Context, p *pod.Pod) error { return work(p) })
	}
	t.add(cmd.Flags(), cmd.Name())
	return cmd
}

// anyIs reports whether a container of p is in one of the states. Where that cannot
// be told, the verb is to say so.
func anyIs(p *pod.Pod, words ...string) bool {
	members, err := libcontainer.PodMembers(p)
	return err != nil || slices.ContainsFunc(members, func(m libcontainer.PodMember) bool { return slices.Contains(words, m.Word) })
}
