// Package image holds the image verbs: flags in, one library call, output.
package image

import (
	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
)

// Verbs returns the commands that work on images, as they appear at the top
// level: pull, load, import, images, rmi, tag.
func Verbs(f *cmdutil.Factory) []*cobra.Command {
	return []*cobra.Command{
		newImages(f),
		newImport(f),
		newLoad(f),
		newPull(f),
		newRmi(f),
		newTag(f),
		newUntag(f),
	}
}

// New returns the "image" command with its verbs.
func New(f *cmdutil.Factory) *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Manage images", RunE: cmdutil.NeedVerb}
	cmd.AddCommand(
		NewDiff(f, DiffImages),
		newExists(f),
		newImport(f),
		newInspect(f),
		newList(f),
		newLoad(f),
		newPull(f),
		newRemove(f),
		newTag(f),
		newUntag(f),
	)
	return cmd
}
