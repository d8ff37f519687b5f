// Package system holds the verbs about nook itself.
package system

import (
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/image"
)

// Verbs returns the commands as they appear at the top level.
func Verbs() []cmdutil.Verb {
	return []cmdutil.Verb{
		{Names: "diff", New: func(f *cmdutil.Factory) *cobra.Command { return image.NewDiff(f, image.DiffAny) }},
		{Names: "doctor", New: newDoctor},
		{Names: "events", New: newEvents},
		{Names: "info", New: newInfo},
		{Names: "inspect", New: newInspect},
		{Names: "unshare", New: newUnshare},
		{Names: "version", New: newVersion},
	}
}

// versionInfo has podman's field names, which scripts put into --format.
type versionInfo struct {
	APIVersion string // Version, as podman has it: editors ask for it to see whether anybody answers
	Version    string
	GoVersion  string
	OsArch     string
	Os         string
	Arch       string
}

// versions names both sides, as docker and podman do. There is no daemon: the
// two are the same program.
type versions struct {
	Client versionInfo
	Server versionInfo
}

func newVersion(f *cmdutil.Factory) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version of nook",
		Long: "Show the version of nook and what it was built with.\n\n" +
			"Exit status: 0, or 125 if the format is wrong.",
		Example: "  nook version\n  nook version --format '{{.Client.Version}}'",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := versionInfo{f.Version, f.Version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, runtime.GOOS, runtime.GOARCH}
			return printVersion(f.Out, format, versions{v, v})
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", `"json", or a Go template`)
	return cmd
}

func printVersion(w io.Writer, format string, v versions) error {
	if format != "" {
		return cmdutil.RenderObject(w, format, v)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "Client:\tnook\nVersion:\t%s\nGo Version:\t%s\nOS/Arch:\t%s\n", v.Client.Version, v.Client.GoVersion, v.Client.OsArch)
	return tw.Flush()
}
