package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Remove forgets a container that this process holds. forget deletes what lies
// outside the record (layers); it must succeed on what is already gone.
func (c *Container) Remove(forget func(id string) error) error {
	if err := c.Hide(); err != nil {
		return err
	}
	return c.Empty(forget)
}

// Hide is the half of Remove that others see: the record leaves every listing,
// and its name is free. What is left is in the trash, where Sweep finds it should
// this process die before Empty.
func (c *Container) Hide() error {
	if c.lock == nil {
		return fmt.Errorf("remove %s: %w", c.Name, ErrRunning)
	}
	_ = c.Reload() // it may have been renamed while it ran; a damaged record must go, too
	gone := c.store.path(trash, c.ID)
	if err := os.Rename(c.dir, gone); err != nil {
		return fmt.Errorf("remove container: %w", err)
	}
	c.dir = gone
	return c.store.unlinkName(c.Name, c.ID)
}

// Empty deletes what Hide left.
func (c *Container) Empty(forget func(id string) error) error {
	return c.store.empty(c.ID, "", forget)
}

// empty deletes trash/ID and all that belongs to it.
func (s Store) empty(id, name string, forget func(string) error) error {
	if name != "" {
		if err := s.unlinkName(name, id); err != nil {
			return err
		}
	}
	if err := forget(id); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(filepath.Join(s.Run, containers, id)), os.RemoveAll(s.path(trash, id)))
}

// Sweep collects what killed processes left. It is quick when there is nothing.
func (s Store) Sweep(forget func(id string) error) error {
	var errs []error
	for _, kind := range []string{containers, ephemeral} {
		entries, err := os.ReadDir(s.path(kind))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, e := range entries {
			id, isNew := strings.CutPrefix(e.Name(), newPrefix)
			if isNew || kind == ephemeral || strings.HasPrefix(e.Name(), bornPrefix) {
				errs = append(errs, s.sweepOne(kind, e.Name(), id, forget))
			}
		}
	}
	entries, err := os.ReadDir(s.path(trash))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, e := range entries {
		c := &Container{store: s, dir: s.path(trash, e.Name())}
		if c.Hold() != nil {
			continue // its remover is at work
		}
		if known, err := s.load(trash, e.Name()); err == nil {
			c.Config = known.Config
		}
		errs = append(errs, s.empty(e.Name(), c.Name, forget))
		c.Release()
	}
	return errors.Join(errs...)
}

func (s Store) sweepOne(kind, entry, id string, forget func(string) error) error {
	c := &Container{store: s, dir: s.path(kind, entry)}
	isBorn := strings.HasPrefix(entry, bornPrefix)
	if isBorn && os.Remove(c.dir) == nil {
		return nil // its maker makes another
	}
	// The lock file is its maker's to create: a new one in a directory that is being
	// deleted would keep that from going.
	if err := c.hold(os.O_RDWR); err != nil {
		return nil // alive, or just gone
	}
	defer c.Release()
	if isBorn {
		return os.RemoveAll(c.dir)
	}
	if known, err := s.load(kind, entry); err == nil {
		c.Config = known.Config
	}
	c.ID = id
	return c.Remove(forget)
}

func sortByCreated(all []*Container) {
	slices.SortStableFunc(all, func(a, b *Container) int { return a.Created.Compare(b.Created) })
}
