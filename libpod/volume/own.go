package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/statefile"
)

// Of returns the volumes that belong to a store of containers.
func Of(s state.Store) Store { return Store{Dir: filepath.Join(s.Dir, "volumes")} }

// log is that of the store of containers.
func (s Store) log() events.Log { return events.Of(state.Store{Dir: filepath.Dir(s.Dir)}) }

// Users lists the containers that each volume is used by, running or not.
func Users(s state.Store) (map[string][]*state.Container, error) {
	all, errs := s.List()
	users := map[string][]*state.Container{}
	for _, c := range all {
		for _, m := range c.Spec.Mounts {
			if m.Type == spec.MountVolume && !slices.Contains(users[m.Volume], c) {
				users[m.Volume] = append(users[m.Volume], c)
			}
		}
	}
	// A container whose record is damaged may use any of them.
	return users, errors.Join(errs...)
}

// RemoveUnused deletes a volume, or returns ErrInUse where containers have it.
func RemoveUnused(s state.Store, name string) error {
	return Of(s).Remove(name, func() error { return unusedBy(s, name) })
}

func unusedBy(s state.Store, name string) error {
	users, err := Users(s)
	if err != nil || len(users[name]) == 0 {
		return err
	}
	c := users[name][0]
	return problem.Hint(fmt.Errorf("volume %s: %w by container %s (%s)", name, ErrInUse, c.Name, c.Short()),
		"run: nook rm %s; or, to remove its containers too: nook volume rm -f %s", c.Name, name)
}

// ownOf lists the anonymous volumes that were made for c.
func ownOf(c *state.Container) []string {
	var names []string
	for _, m := range c.Spec.Mounts {
		if m.Type == spec.MountVolume && m.OwnName {
			names = append(names, m.Volume)
		}
	}
	return names
}

// ownList is a file with the names of the volumes that go with a container. It is
// there before the first of them, and as long as they are to be removed with it:
// always with --rm, and else until the container is made, and from "rm -v" on.
func ownList(s state.Store, id string) string { return filepath.Join(Of(s).Dir, ".with-"+id) }

// EndOwn makes c's own volumes go with it.
func EndOwn(s state.Store, c *state.Container) error {
	names := ownOf(c)
	if len(names) == 0 {
		return nil
	}
	if err := os.MkdirAll(Of(s).Dir, 0o700); err != nil {
		return fmt.Errorf("make volumes: %w", err)
	}
	return statefile.WriteVolatile(ownList(s, c.ID), names)
}

// KeepOwn leaves c's own volumes behind when it is removed, unless it is one of
// "run --rm".
func KeepOwn(s state.Store, c *state.Container) error {
	if c.Spec.Remove || len(ownOf(c)) == 0 {
		return nil
	}
	if err := os.Remove(ownList(s, c.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// HideOwn is the half of DropOwn that others see, for who tells them that the
// container is gone.
func HideOwn(s state.Store, id string) error {
	var names []string
	err := statefile.Read(ownList(s, id), &names)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, name := range names {
		_, err := Of(s).hide(name, func() error { return unusedBy(s, name) })
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrInUse) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// DropOwn removes the volumes that go with a container that is gone, as far as
// nobody else has come to use them. It is no error if there are none.
func DropOwn(s state.Store, id string) error {
	err := HideOwn(s, id)
	if err != nil {
		return err
	}
	err = os.Remove(ownList(s, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, Of(s).Sweep())
}
