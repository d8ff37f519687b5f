// Package image holds the image verbs: flags in, one library call, output.
package image

import (
	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
)

// Verbs returns the commands that work on images, as they appear at the top
// level: pull, load, import, images, rmi, tag.
func Verbs() []cmdutil.Verb {
	return []cmdutil.Verb{
		{Names: "history", New: newHistory},
		{Names: "images", New: newImages},
		{Names: "import", New: newImport},
		{Names: "load", New: newLoad},
		{Names: "pull", New: newPull},
		{Names: "rmi", New: newRmi},
		{Names: "tag", New: newTag},
		{Names: "untag", New: newUntag},
	}
}

// Noun returns the "image" command with its verbs.
func Noun() cmdutil.Verb {
	return cmdutil.Noun("image", "Manage images", []cmdutil.Verb{
		{Names: "diff", New: func(f *cmdutil.Factory) *cobra.Command { return NewDiff(f, DiffImages) }},
		{Names: "exists", New: newExists},
		{Names: "history", New: newHistory},
		{Names: "import", New: newImport},
		{Names: "inspect", New: newInspect},
		{Names: "list ls", New: newList},
		{Names: "load", New: newLoad},
		{Names: "prune", New: newPrune},
		{Names: "pull", New: newPull},
		{Names: "rm remove", New: newRemove},
		{Names: "tag", New: newTag},
		{Names: "tree", New: newTree},
		{Names: "untag", New: newUntag},
	})
}
