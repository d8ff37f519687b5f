package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/term"
)

func newExport(f *cmdutil.Factory) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "export [flags] CONTAINER",
		Short: "Write the files of a container as a tar",
		Long: `Write the files of a container, running or not, as a tar to standard output or to
a file. What is mounted into the container is left out.`,
		Example: "  nook export -o web.tar web\n  nook export web | nook import - web-copy",
		Args:    cmdutil.ExactArgs(1, "a container"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				return export(ctx, f, e, args[0], output)
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to this `file`")
	return cmd
}

func export(ctx context.Context, f *cmdutil.Factory, e *container.Engine, name, output string) (err error) {
	c, err := find(e.State, name)
	if err != nil {
		return err
	}
	out := f.Out
	switch {
	case output != "":
		// As a shell would: an existing file gets new content and keeps its mode.
		if out, err = os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		defer func() { err = errors.Join(err, out.Close()) }()
	case term.IsTerminal(f.Out):
		return problem.Hint(errors.New("export: a tar does not belong on a terminal"), "run: nook export -o %s.tar %s", name, name)
	}
	buf := bufio.NewWriterSize(out, 1<<20)
	return errors.Join(e.Export(ctx, c, buf), buf.Flush())
}
