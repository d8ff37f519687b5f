// Package container holds the container verbs: flags in, one library call,
// output.
//
// Verbs that need layers have two halves. The outer one, in the user's own
// namespaces, reads flags and files, keeps the terminal and shows the result; it
// starts the inner one, the same program in the user namespace, and they talk
// over a socket in attach frames: one Open with the request, then the session.
package container

import (
	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/image"
)

// Verbs returns the commands on containers as they appear at the top level.
func Verbs(f *cmdutil.Factory) []*cobra.Command {
	return []*cobra.Command{
		newRun(f), newCreate(f), newStart(f), newStop(f), newRestart(f), newKill(f), newWait(f), newAttach(f),
		newExec(f), newTop(f), newLogs(f), newRename(f), newPs(f), newRm(f),
		newPause(f), newUnpause(f), newStats(f), newUpdate(f),
		newMount(f), newUnmount(f), newExport(f), newCommit(f), newCp(f),
	}
}

// New returns the "container" command with the same verbs.
func New(f *cmdutil.Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "container",
		Short: "Manage containers",
		RunE:  cmdutil.NeedVerb,
	}
	cmd.AddCommand(Verbs(f)...)
	cmd.AddCommand(newInspect(f), newExists(f), newPrune(f), image.NewDiff(f, image.DiffContainers))
	return cmd
}
