package container

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/image"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/pkg/archive"
)

type commitOptions struct {
	container.CommitOptions
	format, iidFile string
	pause, quiet    bool
}

func newCommit(f *cmdutil.Factory) *cobra.Command {
	o := &commitOptions{}
	cmd := &cobra.Command{
		Use:   "commit [flags] CONTAINER [NAME]",
		Short: "Make an image of a container",
		Long: `Make an image of the files of a container, running or not, and of its
configuration, and print the image's id. What is mounted into the container is
left out, and so are secrets.`,
		Example: "  nook commit -c 'CMD [\"serve\"]' -m 'configured' web localhost/web:2",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(args[1:]); err != nil {
				return fmt.Errorf("commit: %w", err)
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				return o.run(ctx, f, e, args[0])
			})
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVarP(&o.Changes, "change", "c", nil, "apply an `INSTRUCTION`: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR")
	fl.StringVarP(&o.Message, "message", "m", "", "`comment` in the image's history")
	fl.StringVarP(&o.Author, "author", "a", "", "`author` of the image")
	fl.StringVarP(&o.format, "format", "f", string(archive.OCI), "oci or docker")
	fl.StringVar(&o.iidFile, "iidfile", "", "write the image's id to this `file`")
	fl.BoolVar(&o.Volumes, "include-volumes", false, "make what is mounted into the container volumes of the image, empty ones")
	fl.BoolVarP(&o.pause, "pause", "p", false, "make a running container's processes stand still meanwhile")
	fl.BoolVarP(&o.quiet, "quiet", "q", false, "no progress on standard error")
	fl.BoolVarP(&o.Squash, "squash", "s", false, "make one layer of all files, the base image's too")
	return cmd
}

func (o *commitOptions) complete(names []string) (err error) {
	o.Format = archive.Format(o.format)
	if o.Format != archive.OCI && o.Format != archive.Docker {
		return fmt.Errorf("--format %q: want oci or docker", o.format)
	}
	o.Names, err = image.LocalNames(names)
	return err
}

func (o *commitOptions) run(ctx context.Context, f *cmdutil.Factory, e *container.Engine, name string) error {
	c, err := find(e.State, name)
	if err != nil {
		return err
	}
	if !o.quiet {
		o.Progress = f.Err
	}
	id := ""
	commit := func(ctx context.Context) (err error) {
		id, err = e.Commit(ctx, c, o.CommitOptions)
		return err
	}
	if o.pause {
		err = container.Still(ctx, c, commit)
	} else {
		err = commit(ctx)
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if o.iidFile != "" {
		if err := writeID(o.iidFile, id); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	_, err = fmt.Fprintln(f.Out, id)
	return err
}

// writeID writes an id file as a shell would: an older one is overwritten.
func writeID(path, id string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	_, err = file.WriteString(id)
	return errors.Join(err, file.Close())
}
