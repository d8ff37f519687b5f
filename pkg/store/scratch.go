package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.podman.io/storage"

	"github.com/nook-containers/nook/pkg/sys"
)

// leasesDir holds one empty file for each image that a scratch root was made of.
const leasesDir = "nook.leases"

// CanScratch reports whether Scratch works for this store.
func (s *Store) CanScratch() bool {
	return s.cfg.mount == mountAuto && s.cfg.fuse == "" && s.Driver() == "overlay"
}

// Scratch mounts a root file system on the image whose writable layer is in dir,
// which the caller made and will delete. The store keeps no record of it: writing
// and syncing four of them costs more than all the rest of a short container.
// Instead this process holds a shared flock(2) on the image's lease until the
// RootFS is closed or the process ends, and Remove refuses an image whose lease
// is held.
//
// It is for containers that end with the process that looks after them; a plain
// error means that the caller should make an ordinary container.
func (s *Store) Scratch(dir, imageID string) (_ *RootFS, err error) {
	lease, err := s.lease(imageID, sys.LockShared)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lease.Close()
		}
	}()
	lower, err := s.imageDirs(imageID) // after the lease: it can't go away now
	if err != nil {
		return nil, err
	}
	l := &layout{
		dir: dir, lower: lower, volatile: true,
		upper: filepath.Join(dir, "upper"), work: filepath.Join(dir, "work"), merged: filepath.Join(dir, "merged"),
	}
	for _, d := range []string{l.upper, l.work, l.merged} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, fmt.Errorf("make root file system: %w", err)
		}
	}
	if err := copyRootMode(l); err != nil {
		return nil, err
	}
	f, err := mountOverlayAt(l)
	if err != nil {
		return nil, err
	}
	return &RootFS{Mount: f, How: HowOverlay, lease: lease}, nil
}

// copyRootMode gives the root directory the mode of the image's.
func copyRootMode(l *layout) error {
	mode := os.FileMode(0o755)
	if len(l.lower) > 0 {
		fi, err := os.Stat(l.lower[0])
		if err != nil {
			return fmt.Errorf("make root file system: %w", err)
		}
		mode = fi.Mode()
	}
	return os.Chmod(l.upper, mode)
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

// unleased keeps new scratch roots from being made of the image while remove
// works, and fails with ErrInUse where there are some. The lease file stays:
// whoever waits for it would else hold a lock that nobody sees.
func (s *Store) unleased(imageID string, remove func() error) error {
	f, err := s.lease(imageID, sys.TryLock)
	switch {
	case errors.Is(err, sys.ErrLocked):
		return fmt.Errorf("image %s: %w by a container of run --rm", short(imageID), ErrInUse)
	case noSpace(err):
		return remove() // or nothing could be removed from a full disk
	case err != nil:
		return err
	}
	defer f.Close()
	return remove()
}
