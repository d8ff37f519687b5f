package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// WorkDir is the directory of one machine, in /var/tmp. The lock on it, which ends with
// this process at the latest, tells those in use from what a killed run left.
type WorkDir struct {
	Path string
	lock *os.File
}

// MakeDir makes a directory of that kind, and removes those that nobody uses any
// more. sweep is called with the name of each first; nil: there is nothing else.
func MakeDir(kind string, sweep func(name string) error) (*WorkDir, error) {
	prefix := "/var/tmp/nook-" + kind + "-"
	old, err := filepath.Glob(prefix + "*")
	if err != nil {
		return nil, err
	}
	for _, path := range old {
		lock, err := lockDir(path)
		if err != nil {
			continue // in use, just removed, or another user's
		}
		if sweep != nil {
			err = sweep(filepath.Base(path))
		}
		err = errors.Join(err, os.RemoveAll(path))
		lock.Close()
		if err != nil {
			return nil, fmt.Errorf("sweep %s: %w", path, err)
		}
	}
	path, err := os.MkdirTemp("/var/tmp", filepath.Base(prefix))
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(path)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return &WorkDir{Path: path, lock: lock}, nil
}

// Remove removes the directory with all in it.
func (d *WorkDir) Remove() error {
	defer d.lock.Close()
	return os.RemoveAll(d.Path)
}

func lockDir(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
