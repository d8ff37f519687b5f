package store

import (
	"errors"
	"fmt"
	"os"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

// Keep makes Close close other too.
func (r *RootFS) Keep(other *RootFS) { r.kept = append(r.kept, other) }

// MountImage mounts an image's files, attached nowhere. Where own is the caller's
// directory they can be written, and the changes go there; where it is "" they
// can't. volatile changes need not survive a power cut. The image can't be removed
// until the result is closed or the process ends.
func (s *Store) MountImage(imageID, own string, volatile bool) (_ *RootFS, err error) {
	if s.Driver() != "overlay" {
		return nil, problem.Hint(fmt.Errorf("mount image %s: the storage driver %s cannot", short(imageID), s.Driver()), "leave --storage-driver out")
	}
	lease, err := s.lease(imageID, sys.LockShared)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lease.Close()
		}
	}()
	lower, err := s.imageDirs(imageID)
	if err != nil {
		return nil, err
	}
	var f *os.File
	switch {
	case s.namedWhiteouts():
		err = problem.Hint(errNamedWhiteouts, elsewhere)
	case own != "":
		f, err = overlayOn(own, lower, volatile)
	case len(lower) == 1: // overlay takes no single layer
		f, err = sys.CloneDir(lower[0])
	case len(lower) == 0:
		err = errors.New("it has no files")
	default:
		f, err = sys.MountOverlay(sys.Overlay{Lower: lower, UserXattr: true, Scratch: s.o.RunRoot})
	}
	if err != nil {
		return nil, fmt.Errorf("mount image %s: %w", short(imageID), err)
	}
	return &RootFS{Mount: f, How: HowOverlay, lease: lease}, nil
}

// Overlay mounts dir, attached nowhere, such that changes go to own, the caller's
// directory, which may hold those of an earlier mount.
func (s *Store) Overlay(own, dir string, volatile bool) (*os.File, error) {
	return overlayOn(own, []string{dir}, volatile)
}

// overlayOn mounts lower with its changes below own.
func overlayOn(own string, lower []string, volatile bool) (*os.File, error) {
	l := ownLayout(own, lower)
	l.volatile = volatile
	if err := makeOwn(l); err != nil {
		return nil, err
	}
	return mountOverlayAt(l)
}
