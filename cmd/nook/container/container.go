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
func Verbs() []cmdutil.Verb {
	return []cmdutil.Verb{
		{Names: "attach", New: newAttach},
		{Names: "commit", New: newCommit},
		{Names: "cp", New: newCp},
		{Names: "create", New: newCreate},
		{Names: "exec", New: newExec},
		{Names: "export", New: newExport},
		{Names: "init", New: newInit},
		{Names: "kill", New: newKill},
		{Names: "logs", New: newLogs},
		{Names: "mount", New: newMount},
		{Names: "pause", New: newPause},
		{Names: "port", New: newPort, Verbs: portVerbs()},
		{Names: "ps ls list", New: newPs},
		{Names: "rename", New: newRename},
		{Names: "restart", New: newRestart},
		{Names: "rm", New: newRm},
		{Names: "run", New: newRun},
		{Names: "start", New: newStart},
		{Names: "stats", New: newStats},
		{Names: "stop", New: newStop},
		{Names: "top", New: newTop},
		{Names: "unmount umount", New: newUnmount},
		{Names: "unpause", New: newUnpause},
		{Names: "update", New: newUpdate},
		{Names: "wait", New: newWait},
	}
}

// Noun returns the "container" command with the same verbs, and some more.
func Noun() cmdutil.Verb {
	more := []cmdutil.Verb{
		{Names: "clone", New: newClone},
		{Names: "diff", New: func(f *cmdutil.Factory) *cobra.Command { return image.NewDiff(f, image.DiffContainers) }},
		{Names: "exists", New: newExists},
		{Names: "inspect", New: newInspect},
		{Names: "prune", New: newPrune},
	}
	return cmdutil.Noun("container", "Manage containers", append(Verbs(), more...))
}
