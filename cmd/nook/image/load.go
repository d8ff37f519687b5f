package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/image"
	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/registry"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/term"
)

type loadOptions struct {
	input string
	quiet bool
}

func newLoad(f *cmdutil.Factory) *cobra.Command {
	var o loadOptions
	cmd := &cobra.Command{
		Use:   "load [flags]",
		Short: "Load images from an archive or directory",
		Long: `Load images from a file that "docker save", "podman save" or "skopeo copy"
wrote, or from an OCI layout directory. The format and the packing (gzip, zstd,
xz, bzip2) are found out. Without --input the archive comes from standard input.`,
		Example: "  nook load -i busybox.tar\n  ssh host docker save app | nook load",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.InStore(cmd.Context(), func(ctx context.Context, s *store.Store) error {
				return load(ctx, f, s, o)
			})
		},
	}
	cmd.Flags().StringVarP(&o.input, "input", "i", "", "archive `FILE` or directory; default: standard input")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "no progress on standard error")
	return cmd
}

func load(ctx context.Context, f *cmdutil.Factory, s *store.Store, o loadOptions) error {
	a, err := openInput(f, s, o.input)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	defer a.Close()
	var log io.Writer = f.Err
	if o.quiet {
		log = nil
	}
	for _, found := range a.Images {
		names, err := fullNames(found.Names, registry.DockerHub)
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
		var id string
		err = image.Watch(log, func(p store.Progress) error {
			id, err = s.Put(ctx, found.Image, names, p)
			return err
		})
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
		if len(names) == 0 {
			names = []string{"sha256:" + id}
		}
		f.TellImage(events.Load, id, names[0])
		for _, n := range names {
			fmt.Fprintln(f.Out, "Loaded image:", n)
		}
	}
	return nil
}

func openInput(f *cmdutil.Factory, s *store.Store, input string) (*archive.Archive, error) {
	if input != "" && input != "-" {
		return archive.Open(input, s.Root())
	}
	if term.IsTerminal(f.In) {
		return nil, problem.Hint(errors.New("cannot read an archive from a terminal"), "run: nook load -i FILE")
	}
	return archive.OpenFile(f.In, s.Root())
}
