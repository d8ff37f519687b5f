// Package root assembles the command tree and owns the exit status.
package root

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/container"
	"github.com/nook-containers/nook/cmd/nook/image"
	"github.com/nook-containers/nook/cmd/nook/network"
	"github.com/nook-containers/nook/cmd/nook/oci"
	"github.com/nook-containers/nook/cmd/nook/pod"
	"github.com/nook-containers/nook/cmd/nook/secret"
	"github.com/nook-containers/nook/cmd/nook/system"
	"github.com/nook-containers/nook/cmd/nook/volume"
)

// Main runs the command line f.Args and returns the exit status.
func Main(ctx context.Context, f *cmdutil.Factory) int {
	cmd := newRoot(f)
	if len(f.Args) != 1 || f.Args[0] != "--version" {
		addCommands(f, cmd, cmdutil.Words(cmd.PersistentFlags(), f.Args))
	}
	cmd.SetArgs(f.Args)
	if len(f.Args) > 0 && strings.HasPrefix(f.Args[0], cobra.ShellCompRequestCmd) {
		completeArgs(f, cmd)
	}
	if err := unknown(cmd, f.Args); err != nil {
		return Status(f, err)
	}
	return Status(f, cmd.ExecuteContext(ctx))
}

// addCommands makes those that words may mean, and cobra's own, which it would
// only make when it runs.
func addCommands(f *cmdutil.Factory, cmd *cobra.Command, words []string) {
	cmd.AddCommand(cmdutil.Commands(f, verbs(), words)...)
	cmd.InitDefaultHelpCmd()
	cmd.InitDefaultCompletionCmd()
}

// unknown finds a word where a command should be, before the flags behind it are
// mistaken for those of the command in front of it.
func unknown(root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err != nil || !cmdutil.IsNoun(cmd) || len(rest) == 0 {
		return nil //nolint:nilerr // cobra finds it again
	}
	if word := rest[0]; word != "" && word[0] != '-' && word[0] != '_' { // "__complete" is cobra's
		return cmdutil.CommandError(cmd, word)
	}
	return nil
}

// Status prints err, unless it only carries an exit status, and returns the exit
// status for it.
func Status(f *cmdutil.Factory, err error) int {
	report(f, err)
	return status(err)
}

// New builds the whole command tree.
func New(f *cmdutil.Factory) *cobra.Command {
	cmd := newRoot(f)
	addCommands(f, cmd, nil)
	return cmd
}

func verbs() []cmdutil.Verb {
	return slices.Concat(
		[]cmdutil.Verb{container.Noun(), image.Noun(), volume.Noun(), network.Noun(), pod.Noun(), secret.Noun(), system.Noun(), container.HealthNoun(), {Names: "oci", New: oci.New}},
		container.Verbs(), image.Verbs(), system.Verbs(),
	)
}

func newRoot(f *cmdutil.Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:           "nook",
		Short:         "Run containers without root and without a daemon",
		Version:       f.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          cmdutil.NeedVerb,
	}
	cmd.SetFlagErrorFunc(cmdutil.FlagError)
	cmd.SetVersionTemplate("nook version {{.Version}}\n")
	cmd.SetOut(f.Out)
	cmd.SetErr(f.Err)
	pf := cmd.PersistentFlags()
	pf.StringVar(&f.Globals.Root, "root", "", "directory of images and containers")
	pf.StringVar(&f.Globals.RunRoot, "runroot", "", "directory of the store's state of this boot")
	pf.StringVar(&f.Globals.StorageDriver, "storage-driver", "", "overlay or vfs")
	pf.StringArrayVar(&f.Globals.StorageOpts, "storage-opt", nil, "option of the storage driver, KEY=VALUE")
	pf.StringArrayVar(&f.Globals.CDIDirs, "cdi-spec-dir", nil, "directory with descriptions of devices (CDI), in place of /etc/cdi, /run/cdi and ~/.config/cdi")
	pf.StringVar(&f.Globals.Runtime, "runtime", "", "path of an OCI runtime to use instead of the built-in one")
	pf.StringVar(&f.Globals.CgroupManager, "cgroup-manager", "", "who makes control groups: systemd, or cgroupfs for nook itself (default: nook where part of the tree is yours, else systemd)")
	return cmd
}

func report(f *cmdutil.Factory, err error) {
	if err == nil {
		return
	}
	if exit, ok := errors.AsType[*cmdutil.ExitError](err); ok && exit.Err == nil {
		return
	}
	f.Report(err)
}

// status maps an error to an exit status: the container's own where there is
// one, else 125, which scripts know as the tool's own failure.
func status(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[*cmdutil.ExitError](err); ok {
		return exit.Code
	}
	return cmdutil.ExitFailure
}
