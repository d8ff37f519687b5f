package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/store/view"
)

// DiffOf says what a name given to diff may be.
type DiffOf string

// What diff compares.
const (
	DiffAny        DiffOf = "container or image" // a container's name beats an image's
	DiffContainers DiffOf = "container"
	DiffImages     DiffOf = "image"
)

// NewDiff returns the command for one noun, or for both.
func NewDiff(f *cmdutil.Factory, of DiffOf) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "diff [flags] NAME [NAME]",
		Short: "Show which files changed",
		Long: fmt.Sprintf(`Show which files of a %s were added (A), changed (C) and deleted (D): in a
container since it was made, in an image by its last layer; of two, in the first
compared to the second.`, of),
		Example: "  nook diff web\n  nook diff --format json web",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "" && format != "json" {
				return fmt.Errorf("--format %q: want json", format)
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				changes, err := of.changes(ctx, e, args)
				if err != nil {
					return err
				}
				return printChanges(f, format, changes)
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "`json`")
	return cmd
}

func (of DiffOf) changes(ctx context.Context, e *container.Engine, names []string) ([]view.Change, error) {
	files, err := of.open(e, names[0])
	if err != nil {
		return nil, err
	}
	defer files.Close()
	if len(names) == 1 {
		return container.Changes(ctx, files)
	}
	other, err := of.open(e, names[1])
	if err != nil {
		return nil, err
	}
	defer other.Close()
	return container.Changes(ctx, &store.Files{Now: files.Now, Before: other.Now})
}

// open finds a container or an image.
func (of DiffOf) open(e *container.Engine, name string) (*store.Files, error) {
	if of != DiffImages {
		c, err := e.State.Lookup(name)
		switch {
		case err == nil && c.Spec.RootFS != "":
			return nil, fmt.Errorf("diff: %s runs from a directory: nobody knows how that was before", c.Name)
		case err == nil:
			return e.FilesOf(c)
		case !errors.Is(err, state.ErrNotFound):
			return nil, err
		case of == DiffContainers:
			return nil, problem.Hint(err, "run: nook ps -a")
		}
	}
	img, err := e.Layers.Lookup(name)
	if errors.Is(err, store.ErrNotFound) && of == DiffAny {
		return nil, problem.Hint(fmt.Errorf("%s: no such container or image", name), "run: nook ps -a; nook images")
	}
	if err != nil {
		return nil, err
	}
	return e.Layers.ImageFiles(img.ID)
}

// diffJSON has podman's field names.
type diffJSON struct {
	Changed []string `json:"changed,omitempty"`
	Added   []string `json:"added,omitempty"`
	Deleted []string `json:"deleted,omitempty"`
}

func printChanges(f *cmdutil.Factory, format string, changes []view.Change) error {
	if format == "" {
		for _, c := range changes {
			if _, err := fmt.Fprintln(f.Out, c.Kind, c.Path); err != nil {
				return err
			}
		}
		return nil
	}
	var out diffJSON
	for _, c := range changes {
		switch c.Kind {
		case view.Added:
			out.Added = append(out.Added, c.Path)
		case view.Changed:
			out.Changed = append(out.Changed, c.Path)
		case view.Deleted:
			out.Deleted = append(out.Deleted, c.Path)
		}
	}
	return cmdutil.WriteJSON(f.Out, out)
}
