package system

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/userns"
)

func newUnshare(f *cmdutil.Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unshare [COMMAND [ARG...]]",
		Short: "Run a command as root of your user namespace",
		Long: `Run a command, or your shell, as root of the user namespace that containers use:
files show the owners that they have in containers, and mounts that the command
makes are its own. CONTAINERS_GRAPHROOT and CONTAINERS_RUNROOT say where the
store is.

The exit status is the command's: 128+n if signal n ended it, 126 if it cannot
be executed, 127 if it does not exist. 125 is nook's own failure.`,
		Example: "  nook unshare chown 33:33 www\n  nook unshare sh -c 'ls $(nook mount web)'",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !f.Inside {
				return f.InForeground(cmd.Context())
			}
			return unshare(cmd.Context(), f, args)
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// unshare stays the command's parent, because this process keeps the namespace:
// it is a member as long as it lives.
func unshare(ctx context.Context, f *cmdutil.Factory, args []string) error {
	if len(args) == 0 {
		args = []string{config.Shell(f.Environ)}
	}
	root, runRoot, err := f.StoreDirs()
	if err != nil {
		return err
	}
	p, err := f.Paths()
	if err != nil {
		return err
	}
	// Only the command's own end ends it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f.In, f.Out, f.Err
	cmd.Env = config.UnshareEnviron(f.Environ, root, runRoot)
	member := userns.Membership(p.Run)
	defer runtime.KeepAlive(member)
	if member != nil {
		cmd.ExtraFiles = []*os.File{member} // becomes userns.MemberFD
	}
	if err := sys.PlainTimers(cmd.Start); err != nil {
		return notStarted(args[0], err)
	}
	defer cmdutil.Foreground(func(s syscall.Signal) error { return cmd.Process.Signal(s) })()
	err = cmd.Wait()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	if st, ok := exit.Sys().(syscall.WaitStatus); ok && st.Signaled() {
		return &cmdutil.ExitError{Code: 128 + int(st.Signal())}
	}
	return &cmdutil.ExitError{Code: exit.ExitCode()}
}

// notStarted gives the statuses that shells give.
func notStarted(name string, err error) error {
	code := 126
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = 127
	}
	return &cmdutil.ExitError{Code: code, Err: fmt.Errorf("unshare: %s: %w", name, errors.Unwrap(err))}
}
