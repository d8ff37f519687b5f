package pod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nook-containers/nook/pkg/sys"
)

func (p *Pod) dir() string { return filepath.Join(p.store.Dir, p.Name) }

// same reports whether p still is the pod of its name.
func (p *Pod) same() error {
	now, err := p.store.load(p.Name)
	if err == nil && now.ID != p.ID {
		err = fmt.Errorf("%s: %w", p.Name, ErrNotFound)
	}
	return err
}

// Hold keeps the pod from being removed until the result is closed.
func (p *Pod) Hold() (*os.File, error) { return p.lock(sys.LockShared) }

// Starting keeps others from starting the pod's infra container until the result
// is closed.
func (p *Pod) Starting() (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(p.dir(), startLock), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", p.Name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("start pod %s: %w", p.Name, err)
	}
	if err := errors.Join(sys.Lock(f), p.same()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (p *Pod) lock(how func(*os.File) error) (*os.File, error) {
	f, err := lockDir(p.dir(), how)
	if err != nil {
		return nil, err
	}
	if err := p.same(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lockDir locks a directory that must still have this path then.
func lockDir(dir string, lock func(*os.File) error) (*os.File, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", filepath.Base(dir), ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	mine, err := f.Stat()
	if now, lerr := os.Lstat(dir); err != nil || lerr != nil || !os.SameFile(mine, now) {
		f.Close()
		return nil, fmt.Errorf("%s: %w", filepath.Base(dir), ErrNotFound)
	}
	return f, nil
}

// Remove deletes the pod. ready, called while no container can be made in it, says
// by an error that it must stay. Then the pod is out of sight for good, and forget
// deletes its containers; should it not come to that, Sweep does.
func (p *Pod) Remove(ready, forget func() error) error {
	lock, err := p.lock(sys.Lock)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := ready(); err != nil {
		return err
	}
	gone := filepath.Join(p.store.Dir, gonePrefix+p.ID)
	if err := os.Rename(p.dir(), gone); err != nil {
		return fmt.Errorf("remove pod %s: %w", p.Name, err)
	}
	if err := sys.SyncDir(p.store.Dir); err != nil {
		return err
	}
	return bury(gone, forget)
}

// bury deletes the directory after what belongs to it.
func bury(dir string, forget func() error) error {
	if err := forget(); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove pod: %w", err)
	}
	return nil
}

// Sweep finishes what killed processes began: forget deletes the containers of a
// pod. It is quick when there is nothing.
func (s Store) Sweep(forget func(id string) error) error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		id, isNew := strings.CutPrefix(e.Name(), newPrefix)
		if !isNew {
			var isGone bool
			if id, isGone = strings.CutPrefix(e.Name(), gonePrefix); !isGone {
				continue
			}
		}
		dir := filepath.Join(s.Dir, e.Name())
		lock, err := lockDir(dir, sys.TryLock)
		if err != nil {
			continue // its maker or remover is at work, or just ended
		}
		errs = append(errs, bury(dir, func() error { return forget(id) }), lock.Close())
	}
	return errors.Join(errs...)
}

// Hidden reports whether the pod of this id is being made or removed: its
// containers are not to be seen, whatever their records say.
func (s Store) Hidden(id string) bool {
	return exists(filepath.Join(s.Dir, newPrefix+id)) || exists(filepath.Join(s.Dir, gonePrefix+id))
}
