package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.podman.io/storage"

	"github.com/nook-containers/nook/pkg/sys"
)

// leasesDir holds one empty file for each image that something was made of or is
// mounted.
const leasesDir = "nook.leases"

// CanOwn reports whether containers of this store can have their writable layers in
// directories of their own, of which containers/storage knows nothing. With the
// driver vfs a layer is a copy of all files, which that makes. Where another tool
// keeps its containers in the same root, only those that end with the process that
// looks after them can: that tool would remove images that it sees no container of.
func (s *Store) CanOwn(ephemeral bool) bool {
	return s.Driver() == "overlay" && (ephemeral || !s.shared())
}

// shared reports whether Podman keeps its containers in this graph root.
func (s *Store) shared() bool {
	for _, name := range []string{"db.sql", "libpod"} {
		if _, err := os.Lstat(filepath.Join(s.o.Root, name)); err == nil {
			return true
		}
	}
	return false
}

// HoldImage keeps the image from being removed until the result is closed or the
// process ends: until the record is there that Options.Users finds.
func (s *Store) HoldImage(imageID string) (io.Closer, error) {
	f, err := s.lease(imageID, sys.LockShared)
	if err != nil {
		return nil, s.full(err)
	}
	if _, err := s.storage().Image(imageID); err != nil { // it may have been removed before
		f.Close()
		return nil, fmt.Errorf("image %s: %w", short(imageID), known(err))
	}
	return f, nil
}

// MakeOwn makes the directories in dir, the caller's, that OwnRoot mounts.
func (s *Store) MakeOwn(dir, imageID string) error {
	lower, err := s.imageDirs(imageID)
	if err != nil {
		return err
	}
	return s.full(makeOwn(ownLayout(dir, lower)))
}

// OwnRoot mounts a root file system on the image whose writable layer is in dir, the
// caller's, which may hold what an earlier mount wrote. That is all there is of it:
// containers/storage writes and syncs its lists four times for a container, which
// costs more than all the rest of a short one. volatile changes need not survive a
// power cut. As long as dir means something Options.Users tells of the image. points are
// files that will be mounted on, as paths in the root: it may have empty ones where the
// image has none.
func (s *Store) OwnRoot(dir, imageID string, volatile bool, points []string) (*RootFS, error) {
	lower, err := s.imageDirs(imageID)
	if err != nil {
		return nil, fmt.Errorf("root file system: %w", err)
	}
	l := ownLayout(dir, lower)
	l.volatile, l.base = volatile, s.points(points)
	if err := makeOwn(l); err != nil {
		return nil, s.full(fmt.Errorf("make root file system: %w", err))
	}
	return s.mountRoot(l)
}

// OwnFiles opens the files of a root that OwnRoot mounts, or would.
func (s *Store) OwnFiles(dir, imageID string) (*Files, error) {
	lower, err := s.imageDirs(imageID)
	if err != nil {
		return nil, err
	}
	return layoutFiles(ownLayout(dir, lower))
}

func ownLayout(dir string, lower []string) *layout {
	return &layout{
		dir: dir, lower: lower,
		upper: filepath.Join(dir, "upper"), work: filepath.Join(dir, "work"), merged: filepath.Join(dir, "merged"),
	}
}

// makeOwn makes the directories of l that are not there, but for the one to mount on,
// which is hardly ever used. The top gets the owner and mode of the uppermost layer's
// before it has its name.
func makeOwn(l *layout) error {
	for _, d := range []string{l.dir, l.work} {
		if err := mkdir(d); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(l.upper); err == nil {
		return nil
	}
	next := filepath.Join(l.dir, "next")
	if err := mkdir(next); err != nil {
		return err
	}
	if err := likeTop(next, l.lower); err != nil {
		return err
	}
	if err := os.Rename(next, l.upper); err != nil {
		return err
	}
	if l.volatile {
		return nil
	}
	return sys.SyncDir(l.dir)
}

// mkdir makes a directory, if it is not there.
func mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// likeTop gives the directory the owner and mode of the uppermost layer's top.
func likeTop(dir string, lower []string) error {
	if len(lower) == 0 {
		return os.Chmod(dir, 0o755)
	}
	fi, err := os.Stat(lower[0])
	if err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && (st.Uid != 0 || st.Gid != 0) {
		if err := os.Lchown(dir, int(st.Uid), int(st.Gid)); err != nil && !errors.Is(err, syscall.EINVAL) { // EINVAL: it has no id in this namespace
			return err
		}
	}
	return os.Chmod(dir, fi.Mode())
}

// imageDirs lists the directories of an image's layers, uppermost first.
func (s *Store) imageDirs(imageID string) ([]string, error) {
	st := s.storage()
	all, err := st.MultiList(storage.MultiListOptions{Images: true, Layers: true})
	if err != nil {
		return nil, err
	}
	layers := make(map[string]*storage.Layer, len(all.Layers))
	for i := range all.Layers {
		layers[all.Layers[i].ID] = &all.Layers[i]
	}
	for _, i := range all.Images {
		if i.ID == imageID {
			return s.chainDirs(layers, i.TopLayer)
		}
	}
	return nil, fmt.Errorf("image %s: %w", short(imageID), ErrNotFound)
}

// layerDirs lists the directories of a layer and those below it.
func (s *Store) layerDirs(id string) ([]string, error) {
	all, err := s.storage().MultiList(storage.MultiListOptions{Layers: true})
	if err != nil {
		return nil, err
	}
	layers := make(map[string]*storage.Layer, len(all.Layers))
	for i := range all.Layers {
		layers[all.Layers[i].ID] = &all.Layers[i]
	}
	return s.chainDirs(layers, id)
}

// chainDirs is lowerDirs for either driver: of vfs a layer holds all files.
func (s *Store) chainDirs(layers map[string]*storage.Layer, id string) ([]string, error) {
	driver, err := s.storage().GraphDriver()
	if err != nil || id == "" {
		return nil, err
	}
	if driver.String() == "vfs" {
		return []string{filepath.Join(s.o.Root, "vfs", "dir", id)}, nil
	}
	return s.lowerDirs(driver, layers, id)
}

// lease opens and locks the image's lease.
func (s *Store) lease(imageID string, lock func(*os.File) error) (*os.File, error) {
	dir := filepath.Join(s.o.Root, leasesDir)
	path := filepath.Join(dir, imageID)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("lease image %s: %w", short(imageID), err)
		}
		f, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("lease image %s: %w", short(imageID), err)
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lease image %s: %w", short(imageID), err)
	}
	return f, nil
}

// unleased keeps containers from being made of the image while remove works, and
// fails with ErrInUse where one is in the making, or the image is mounted. The lease
// file stays: whoever waits for it would else hold a lock that nobody sees.
func (s *Store) unleased(imageID string, remove func() error) error {
	f, err := s.lease(imageID, sys.TryLock)
	switch {
	case errors.Is(err, sys.ErrLocked):
		return fmt.Errorf("image %s: %w: it is mounted, or a container is being made of it", short(imageID), ErrInUse)
	case noSpace(err):
		return remove() // or nothing could be removed from a full disk
	case err != nil:
		return err
	}
	defer f.Close()
	return remove()
}
