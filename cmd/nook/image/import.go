package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/image"
	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/containerfile"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/term"
)

type importOptions struct {
	changes                    []string
	message, arch, os, variant string
	quiet                      bool
}

func newImport(f *cmdutil.Factory) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import [flags] FILE|URL|- [NAME]",
		Short: "Make an image of the tar of a file system",
		Long: `Make an image of a tar of a root file system, packed or not, which comes from a
file, an http or https URL, or with "-" from standard input. The id of the image
is printed.`,
		Example: "  nook import -c 'CMD [\"/bin/sh\"]' rootfs.tar.xz myos\n  nook export c1 | nook import - copy",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := o.config(args[0])
			if err != nil {
				return fmt.Errorf("import: %w", err)
			}
			var names []string
			if len(args) == 2 {
				if names, err = fullNames(args[1:], local); err != nil {
					return fmt.Errorf("import: %w", err)
				}
			}
			return f.InStore(cmd.Context(), func(ctx context.Context, s *store.Store) error {
				id, err := importTar(ctx, f, s, args[0], importJob{o, file, names})
				if err != nil {
					return fmt.Errorf("import: %w", err)
				}
				f.TellImage(events.Import, id, strings.Join(names, ","))
				_, err = fmt.Fprintln(f.Out, "sha256:"+id)
				return err
			})
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVarP(&o.changes, "change", "c", nil, "apply an `INSTRUCTION`: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR")
	fl.StringVarP(&o.message, "message", "m", "", "`comment` in the image's history")
	fl.BoolVarP(&o.quiet, "quiet", "q", false, "no progress on standard error")
	fl.StringVar(&o.arch, "arch", runtime.GOARCH, "`architecture` of the image")
	fl.StringVar(&o.os, "os", "linux", "operating `system` of the image")
	fl.StringVar(&o.variant, "variant", "", "`variant` of the architecture")
	return cmd
}

// config makes the image's configuration, but for the layer.
func (o *importOptions) config(source string) (*v1.ConfigFile, error) {
	now := v1.Time{Time: time.Now().UTC()}
	file := &v1.ConfigFile{
		Architecture: o.arch, OS: o.os, Variant: o.variant, Created: now,
		History: []v1.History{{Created: now, CreatedBy: "nook import " + source, Comment: o.message}},
	}
	for _, c := range o.changes {
		if err := containerfile.Change(&file.Config, c); err != nil {
			return nil, err
		}
	}
	return file, nil
}

type importJob struct {
	o     importOptions
	file  *v1.ConfigFile
	names []string
}

func importTar(ctx context.Context, f *cmdutil.Factory, s *store.Store, source string, job importJob) (string, error) {
	in, err := openSource(ctx, f, s, source)
	if err != nil {
		return "", err
	}
	tar, err := archive.NewTarball(in, s.Root())
	if err != nil {
		return "", fmt.Errorf("%s: %w", source, err)
	}
	defer tar.Close()
	img, err := tar.Image(job.file)
	if err != nil {
		return "", err
	}
	var log io.Writer = f.Err
	if job.o.quiet {
		log = nil
	}
	var id string
	err = image.Watch(log, func(p store.Progress) error {
		id, err = s.Put(ctx, img, job.names, p)
		return err
	})
	return id, err
}

func openSource(ctx context.Context, f *cmdutil.Factory, s *store.Store, source string) (*os.File, error) {
	switch {
	case source == "-" && term.IsTerminal(f.In):
		return nil, problem.Hint(errors.New("cannot read a tar from a terminal"), "run: nook import FILE NAME")
	case source == "-":
		return f.In, nil
	case archive.IsURL(source):
		return archive.Fetch(ctx, source, s.Root())
	}
	in, err := os.Open(source)
	if err != nil {
		return nil, err
	}
	if fi, err := in.Stat(); err != nil || fi.IsDir() {
		in.Close()
		return nil, problem.Hint(fmt.Errorf("%s: is a directory", source), "run: tar -C %s -c . | nook import - NAME", source)
	}
	return in, nil
}
