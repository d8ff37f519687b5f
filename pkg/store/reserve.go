package store

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

// reserveSize is what a removal needs at most: every change rewrites the lists
// of layers, images and containers beside the old ones.
const reserveSize = 4 << 20

// The reserve is a file of allocated but unused blocks. Removing something must
// work on a full disk, which is when people do it, yet needs room for a moment.
func (s *Store) reservePath() string { return filepath.Join(s.o.Root, "nook.reserve") }

// keepReserve makes the reserve if it is not there. It does without one where
// the file system is too full or cannot allocate.
func (s *Store) keepReserve() error {
	f, err := os.OpenFile(s.reservePath(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		if noSpace(err) {
			return nil
		}
		return err
	}
	defer f.Close()
	free, _, err := sys.Space(f)
	if err != nil {
		return err
	}
	if err := sys.Allocate(f, min(reserveSize, int64(free/8))); err != nil { //nolint:gosec // free/8 fits
		return os.Remove(s.reservePath())
	}
	return nil
}

// withSpace calls change and, if that fails for want of space, again after giving
// the reserve away. The reserve comes back when there is room.
func (s *Store) withSpace(change func() error) error {
	err := change()
	if err == nil || !noSpace(err) {
		return err
	}
	if rerr := os.Remove(s.reservePath()); rerr != nil {
		return err
	}
	err = change()
	return errors.Join(err, s.keepReserve())
}

// full adds to an error for want of space what helps.
func (s *Store) full(err error) error {
	if !noSpace(err) {
		return err
	}
	return problem.Hint(err, "the file system of %s is full; free some space with: nook rmi IMAGE", s.o.Root)
}

func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
