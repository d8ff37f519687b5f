// Package oci is "nook oci": the OCI runtime command line.
package oci

import (
	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
)

// New returns the "oci" command with its verbs.
func New(*cmdutil.Factory) *cobra.Command {
	return &cobra.Command{Use: "oci", Short: "Run OCI bundles"}
}
