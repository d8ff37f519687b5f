package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/term"
)

func newCp(f *cmdutil.Factory) *cobra.Command {
	var o container.CopyOptions
	cmd := &cobra.Command{
		Use:   "cp [flags] [CONTAINER:]SRC [CONTAINER:]DST",
		Short: "Copy files between containers and the host",
		Long: `Copy a file or a directory between a container, running or not, and the host, or
between two containers. Volumes are seen. "-" in place of a host path is a tar,
read from standard input or written to standard output.

A directory goes into a DST that is a directory, and becomes a DST that does not
exist. SRC/. stands for what is in the directory. Files become the container's
root's, or yours. Where SRC is a link, what it leads to is copied, under the link's
name, as podman does; links in a directory are copied as links.`,
		Example: "  nook cp web:/etc/nginx .\n  nook cp site/. web:/srv/www\n  tar c conf | nook cp - web:/etc",
		Args:    cmdutil.ExactArgs(2, "a source and a destination"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkCopy(f, args[0], args[1]); err != nil {
				return fmt.Errorf("cp: %w", err)
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				if err := cp(ctx, f, e, o, args); err != nil {
					return fmt.Errorf("cp: %w", err)
				}
				return nil
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.Archive, "archive", "a", false, "keep owners")
	fl.BoolVarP(&o.FollowLink, "follow-link", "L", true, "copy what SRC leads to if it is a link; =false: the link, as Docker does without the flag")
	fl.BoolVar(&o.Overwrite, "overwrite", false, "let a file replace a directory, and a directory a file")
	return cmd
}

// splitCopy tells CONTAINER:PATH from a path of the host, as docker-cp(1): a path
// that begins with "/" or "." is the host's, whatever follows.
func splitCopy(arg string) (name, path string, isContainer bool) {
	name, path, ok := strings.Cut(arg, ":")
	if !ok || strings.HasPrefix(arg, "/") || strings.HasPrefix(arg, ".") {
		return "", arg, false
	}
	return name, path, true
}

func checkCopy(f *cmdutil.Factory, src, dst string) error {
	_, from, fromContainer := splitCopy(src)
	_, to, toContainer := splitCopy(dst)
	switch {
	case from == "" || to == "":
		return errors.New("a path is missing")
	case !fromContainer && !toContainer:
		return problem.Hint(errors.New("neither path is in a container"), "write it as CONTAINER:PATH; between two host paths: cp -a %s %s", src, dst)
	case dst == "-" && term.IsTerminal(f.Out):
		return problem.Hint(errors.New("a tar does not belong on a terminal"), "run: nook cp %s - >files.tar", src)
	case src == "-" && term.IsTerminal(f.In):
		return problem.Hint(errors.New("cannot read a tar from a terminal"), "run: nook cp - %s <files.tar", dst)
	}
	return nil
}

func cp(ctx context.Context, f *cmdutil.Factory, e *container.Engine, o container.CopyOptions, args []string) (err error) {
	if o.Dir, err = os.Getwd(); err != nil {
		return err
	}
	src, err := copyEnd(e, args[0], f.In)
	if err != nil {
		return err
	}
	dst, err := copyEnd(e, args[1], f.Out)
	if err != nil {
		return err
	}
	return e.Copy(ctx, src, dst, o)
}

func copyEnd(e *container.Engine, arg string, stream *os.File) (end container.CopyEnd, err error) {
	name, path, isContainer := splitCopy(arg)
	switch {
	case isContainer:
		end.Path = path
		end.Container, err = find(e.State, name)
	case arg == "-":
		end.Stream = stream
	default:
		end.Path = path
	}
	return end, err
}
