package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.podman.io/storage"
	"go.podman.io/storage/pkg/idtools"

	"github.com/nook-containers/nook/pkg/store/view"
)

// Files are the files of a container or an image, read without a mount.
type Files struct {
	Now *view.View
	// Before is what they were made of: the container's image, the image without
	// its last layer.
	Before *view.View
	// UID and GID turn owners on disk into those inside; nil: they are the same.
	UID, GID func(uint32) uint32
}

// Close gives the layers back.
func (f *Files) Close() error { return errors.Join(f.Now.Close(), f.Before.Close()) }

// ContainerFiles opens the files of a container, whether or not it runs.
func (s *Store) ContainerFiles(id string) (*Files, error) {
	l, err := s.layout(id)
	if err != nil {
		return nil, fmt.Errorf("files of container %s: %w", short(id), err)
	}
	c, err := s.storage().Container(id)
	if err != nil {
		return nil, fmt.Errorf("files of container %s: %w", short(id), err)
	}
	f, err := s.containerFiles(l, c)
	if err != nil {
		return nil, fmt.Errorf("files of container %s: %w", short(id), err)
	}
	f.UID, f.GID = inside(c.UIDMap), inside(c.GIDMap)
	return f, nil
}

func (s *Store) containerFiles(l *layout, c *storage.Container) (*Files, error) {
	if s.Driver() == "vfs" {
		before, err := s.imageDirs(c.ImageID)
		if err != nil {
			return nil, err
		}
		return openFiles(view.Open, []string{l.upper}, before)
	}
	return layoutFiles(l)
}

func layoutFiles(l *layout) (*Files, error) {
	if _, err := os.Lstat(filepath.Join(l.dir, copiedMark)); err == nil {
		return openFiles(view.Open, []string{l.merged}, l.lower)
	}
	if _, err := os.Lstat(l.upper); errors.Is(err, os.ErrNotExist) { // nothing was ever written
		return openFiles(view.Open, l.lower, l.lower)
	}
	return openFiles(view.OpenWritable, append([]string{l.upper}, l.lower...), l.lower)
}

// ImageFiles opens the files of an image.
func (s *Store) ImageFiles(id string) (*Files, error) {
	dirs, err := s.imageDirs(id)
	if err != nil {
		return nil, err
	}
	before, err := s.parentDirs(id)
	if err != nil {
		return nil, err
	}
	return openFiles(view.Open, dirs, before)
}

// parentDirs lists the directories of an image's layers but the last.
func (s *Store) parentDirs(imageID string) ([]string, error) {
	st := s.storage()
	img, err := st.Image(imageID)
	if err != nil {
		return nil, known(err)
	}
	if img.TopLayer == "" {
		return nil, nil
	}
	top, err := st.Layer(img.TopLayer)
	if err != nil {
		return nil, damagedLayer(img.TopLayer)
	}
	return s.layerDirs(top.Parent)
}

// DirFiles opens a directory as if it were a container's root, made of nothing.
func DirFiles(dir string) (*Files, error) { return openFiles(view.Open, []string{dir}, nil) }

func openFiles(open func(...string) (*view.View, error), now, before []string) (*Files, error) {
	a, err := open(now...)
	if err != nil {
		return nil, err
	}
	b, err := view.Open(before...)
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return &Files{Now: a, Before: b}, nil
}

// inside turns ids of the shared namespace into a container's; nil for no map.
func inside(m []idtools.IDMap) func(uint32) uint32 {
	if len(m) == 0 {
		return nil
	}
	return func(id uint32) uint32 {
		for _, e := range m {
			if n := int(id); n >= e.HostID && n-e.HostID < e.Size {
				return uint32(e.ContainerID + n - e.HostID) //nolint:gosec // ids
			}
		}
		return overflowID
	}
}

// overflowID is who owns what belongs to nobody (user_namespaces(7)).
const overflowID = 65534
