package container

import (
	"context"
	"fmt"
	"io"
	"slices"
	"syscall"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/store/view"
)

// FilesOf opens the files of c, running or not, without its volumes. Nothing is
// mounted for it.
func (e *Engine) FilesOf(c *state.Container) (*store.Files, error) {
	if c.Spec.Infra {
		return nil, fmt.Errorf("%s: %w", c.Name, errNoFiles)
	}
	switch {
	case c.Spec.RootFS != "":
		return store.DirFiles(c.Spec.RootFS)
	case c.KeepsLayer():
		return e.Layers.OwnFiles(layerDir(c), c.ImageID)
	}
	return e.Layers.ContainerFiles(c.ID)
}

// Export writes the files of c as a tar, with the owners that c sees.
func (e *Engine) Export(ctx context.Context, c *state.Container, w io.Writer) error {
	f, err := e.FilesOf(c)
	if err != nil {
		return err
	}
	defer f.Close()
	p := archive.NewPacker(w, archive.PackOptions{UID: f.UID, GID: f.GID, Note: e.Notice})
	if err := f.Now.Pack(ctx, p, nil); err != nil {
		return fmt.Errorf("export %s: %w", c.Name, err)
	}
	if err := p.Close(); err != nil {
		return err
	}
	events.Tell(c, events.Export)
	return nil
}

// Changes tells what f has that is not as it was before, less the places that nook
// itself makes to mount on.
func Changes(ctx context.Context, f *store.Files) ([]view.Change, error) {
	changes, _, err := changesOf(ctx, f)
	return changes, err
}

// changesOf returns apart what the container has only to mount on.
func changesOf(ctx context.Context, f *store.Files) (changes []view.Change, places map[string]bool, err error) {
	all, err := view.Compare(ctx, f.Now, f.Before)
	places = map[string]bool{}
	for _, c := range all {
		if c.Kind == view.Added && mountPlace(c) {
			places[c.Path] = true
		}
	}
	return slices.DeleteFunc(all, func(c view.Change) bool { return c.Kind != view.Deleted && mountPlace(c) }), places, err
}

// mountPlace reports whether c is a directory or an empty file that stands where
// every container has something mounted.
func mountPlace(c view.Change) bool {
	places := []string{
		"/dev", "/etc/group", "/etc/hostname", "/etc/hosts", "/etc/localtime", "/etc/passwd", "/etc/resolv.conf", "/proc", "/run",
		"/run/.containerenv", "/run/secrets", "/sys",
	}
	empty := c.Entry.Stat.Kind() == syscall.S_IFREG && c.Entry.Stat.Size == 0
	return (c.Entry.IsDir() || empty) && slices.Contains(places, c.Path)
}
