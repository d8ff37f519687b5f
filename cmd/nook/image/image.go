// Package image holds the image verbs: flags in, one library call, output.
package image

import (
	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
)

// Verbs returns the commands that work on images, as they appear at the top
// level: pull, load, import, images, rmi, tag.
func Verbs(*cmdutil.Factory) []*cobra.Command { return nil }

// New returns the "image" command with its verbs.
func New(*cmdutil.Factory) *cobra.Command {
	return &cobra.Command{Use: "image", Short: "Manage images"}
}
