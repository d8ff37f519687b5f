package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/image"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/containerfile"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
)

// CommitOptions say what image to make of a container.
type CommitOptions struct {
	Names    []string // full names with a tag
	Changes  []string // instructions of a Containerfile that change the configuration
	Message  string   // comment in the history
	Author   string
	Format   archive.Format
	Squash   bool      // one layer of all files, instead of one more layer
	Volumes  bool      // what is mounted becomes a volume of the image
	Progress io.Writer // nil: none
}

// Commit makes an image of the files of c, without its volumes, and of its
// configuration, and returns the image's id. If it fails, there is no image.
func (e *Engine) Commit(ctx context.Context, c *state.Container, o CommitOptions) (string, error) {
	if c.Spec.Infra {
		return "", fmt.Errorf("commit %s: %w", c.Name, errNoFiles)
	}
	if c.ImageID == "" {
		return "", problem.Hint(fmt.Errorf("commit %s: it runs from a directory, not from an image", c.Name),
			"run: tar -C %s -c . | nook import - NAME", c.Spec.RootFS)
	}
	img, err := e.Layers.Lookup(c.ImageID)
	if err != nil {
		return "", err
	}
	base, err := img.Base()
	if err != nil {
		return "", err
	}
	file, err := committed(c, base.Config, o)
	if err != nil {
		return "", err
	}
	layer, err := e.layerOf(ctx, c, o.Squash)
	if err != nil {
		return "", err
	}
	defer layer.Close()
	if o.Squash {
		base = nil
	}
	made, err := layer.On(base, file, o.Format)
	if err != nil {
		return "", err
	}
	var id string
	err = image.Watch(o.Progress, func(p store.Progress) error {
		id, err = e.Layers.Put(ctx, made, o.Names, p)
		return err
	})
	if err == nil {
		events.Tell(c, events.Commit, events.Attribute("imageID", id))
	}
	return id, err
}

// layerOf writes what c changed, or all its files, as a tar.
func (e *Engine) layerOf(ctx context.Context, c *state.Container, all bool) (_ *archive.Tarball, err error) {
	f, err := e.FilesOf(c)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tmp, err := e.Layers.Temp()
	if err != nil {
		return nil, err
	}
	err = writeLayer(ctx, tmp, f, archive.PackOptions{UID: f.UID, GID: f.GID, Note: e.Notice}, all)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the files of %s: %w", c.Name, err), tmp.Close())
	}
	return archive.NewTarball(tmp, e.Layers.Root())
}

func writeLayer(ctx context.Context, w *os.File, f *store.Files, o archive.PackOptions, all bool) error {
	p := archive.NewPacker(w, o)
	changes, places, err := changesOf(ctx, f)
	switch {
	case err != nil:
	case all:
		err = f.Now.Pack(ctx, p, func(path string) bool { return places[path] })
	default:
		err = f.Now.PackChanges(ctx, p, changes)
	}
	if err != nil {
		return err
	}
	return p.Close()
}

// committed is the configuration of the new image: that of its base, changed as
// the container was and as was asked.
func committed(c *state.Container, base *v1.ConfigFile, o CommitOptions) (*v1.ConfigFile, error) {
	file := base.DeepCopy()
	now := v1.Time{Time: time.Now().UTC()}
	file.Created, file.Container, file.DockerVersion = now, "", "" //nolint:staticcheck // of the base, not of this one
	if o.Author != "" {
		file.Author = o.Author
	}
	applySpec(&file.Config, c.Spec)
	if o.Volumes {
		for _, m := range c.Spec.Mounts {
			if m.Type == spec.MountTmpfs {
				continue
			}
			if file.Config.Volumes == nil {
				file.Config.Volumes = map[string]struct{}{}
			}
			file.Config.Volumes[m.Target] = struct{}{}
		}
	}
	for _, line := range o.Changes {
		if err := containerfile.Change(&file.Config, line); err != nil {
			return nil, err
		}
	}
	step := v1.History{Created: now, CreatedBy: strings.Join(c.Command, " "), Author: o.Author, Comment: o.Message}
	if o.Squash {
		file.History = nil
	}
	file.History = append(file.History, step)
	return file, nil
}

// applySpec applies what the user asked for when the container was made.
func applySpec(cfg *v1.Config, s spec.Container) {
	if s.Entrypoint != nil {
		cfg.Entrypoint, cfg.Cmd = *s.Entrypoint, nil
	}
	if len(s.Args) > 0 {
		cfg.Cmd = s.Args
	}
	for _, e := range s.Env {
		name, _, _ := strings.Cut(e, "=")
		cfg.Env = slices.DeleteFunc(cfg.Env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		cfg.Env = append(cfg.Env, e)
	}
	for _, f := range []struct {
		to   *string
		from string
	}{{&cfg.User, s.User}, {&cfg.WorkingDir, s.WorkDir}, {&cfg.StopSignal, s.StopSignal}} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	if len(s.Labels) > 0 && cfg.Labels == nil {
		cfg.Labels = map[string]string{}
	}
	maps.Copy(cfg.Labels, s.Labels)
}
