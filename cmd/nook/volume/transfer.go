package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/volume/transfer"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/term"
)

func newExport(f *cmdutil.Factory) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "export [flags] VOLUME",
		Short:   "Write a volume's files as a tar",
		Long:    "Write a volume's files as a tar, to standard output unless --output names a file.",
		Example: "  nook volume export data -o data.tar\n  nook volume export data | zstd >data.tar.zst",
		Args:    cmdutil.ExactArgs(1, "a volume"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" && term.IsTerminal(f.Out) {
				return problem.Hint(errors.New("volume export: a tar is not for a terminal"), "run: nook volume export %s -o %s.tar", args[0], args[0])
			}
			return f.InStore(cmd.Context(), func(ctx context.Context, _ *store.Store) error {
				return export(ctx, f, args[0], output)
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "`FILE` to write")
	return cmd
}

// export leaves no half a file.
func export(ctx context.Context, f *cmdutil.Factory, name, output string) (err error) {
	v, err := lookup(f, name)
	if err != nil {
		return err
	}
	if output == "" {
		return transfer.Export(ctx, v, f.Out)
	}
	out, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("volume export: %w", err)
	}
	if err := errors.Join(transfer.Export(ctx, v, out), out.Close()); err != nil {
		return errors.Join(err, os.Remove(output))
	}
	return nil
}

func newImport(f *cmdutil.Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "import VOLUME [FILE]",
		Short: "Unpack a tar into a volume",
		Long: `Unpack a tar, packed or not, into a volume that exists. Without a file, or for
"-", it is read from standard input. Files of the same names are replaced, others
stay.`,
		Example: "  nook volume import data data.tar.gz\n  nook volume export old | nook volume import new",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			source := "-"
			if len(args) == 2 {
				source = args[1]
			}
			if source == "-" && term.IsTerminal(f.In) {
				return problem.Hint(errors.New("volume import: a tar does not come from a terminal"), "run: nook volume import %s FILE", args[0])
			}
			return f.InStore(cmd.Context(), func(ctx context.Context, _ *store.Store) error {
				return importTar(ctx, f, args[0], source)
			})
		},
	}
}

func importTar(ctx context.Context, f *cmdutil.Factory, name, source string) error {
	v, err := lookup(f, name)
	if err != nil {
		return err
	}
	var in io.Reader = f.In
	if source != "-" {
		file, err := os.Open(source)
		if err != nil {
			return fmt.Errorf("volume import: %w", err)
		}
		defer file.Close()
		in = file
	}
	return transfer.Import(ctx, v, in, f.Notice)
}
