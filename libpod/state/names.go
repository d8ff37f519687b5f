package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/statefile"
	"github.com/nook-containers/nook/pkg/sys"
)

// reserve links names/NAME to id, taking over a name whose container is gone.
func (s Store) reserve(name, id string) error {
	path := s.path(names, name)
	for range 3 {
		err := statefile.CreateExclusive(path, []byte(id))
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("reserve name: %w", err)
		}
		owner, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read name: %w", err)
		}
		if !s.abandoned(name, string(owner)) {
			return problem.Hint(fmt.Errorf("container %s: %w by %s", name, ErrNameTaken, short(string(owner))),
				"run: nook rm %s, or choose another --name", name)
		}
		if err := s.unlinkName(name, string(owner)); err != nil {
			return err
		}
	}
	return fmt.Errorf("container %s: %w", name, ErrNameTaken)
}

// Rename gives c another name, also while it runs. Killed in between, it leaves
// one name that leads to the container and one that is free.
func (c *Container) Rename(name string) error {
	if name == c.Name {
		return fmt.Errorf("container %s: %w by itself", name, ErrNameTaken)
	}
	if err := c.store.reserve(name, c.ID); err != nil {
		return err
	}
	old := ""
	err := c.Change(func(cfg *Config) error {
		old, cfg.Name = cfg.Name, name
		return nil
	})
	if err != nil {
		return errors.Join(err, c.store.unlinkName(name, c.ID))
	}
	return c.store.unlinkName(old, c.ID)
}

// unlinkName removes the name if it still points at id, which its caller found
// gone. The lock keeps two cleaners from removing the name of a third process
// that took it in between.
func (s Store) unlinkName(name, id string) error {
	lock, err := os.OpenFile(s.path(names, ".lock"), os.O_CREATE|os.O_RDWR, lockNewFile)
	if err != nil {
		return fmt.Errorf("lock names: %w", err)
	}
	defer lock.Close()
	if err := sys.Lock(lock); err != nil {
		return err
	}
	path := s.path(names, name)
	if now, err := os.ReadFile(path); err != nil || string(now) != id {
		return nil // someone else dealt with it
	}
	return os.Remove(path)
}

// abandoned reports whether no container id of that name exists, finished or in
// the making.
func (s Store) abandoned(name, id string) bool {
	if c, err := s.byID(id); err == nil {
		return c.Name != name // a rename was killed before or after it changed the record
	}
	for _, kind := range []string{containers, ephemeral} {
		if exists(s.path(kind, id)) {
			return false
		}
		making := &Container{dir: s.path(kind, newPrefix+id)}
		if exists(making.dir) {
			if pid, err := making.Monitor(); err != nil || pid != 0 {
				return false
			}
		}
	}
	// A rename from .new-ID to ID may have passed between the two looks.
	return !exists(s.path(containers, id)) && !exists(s.path(ephemeral, id))
}
