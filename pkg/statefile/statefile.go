// Package statefile reads and writes small JSON state that must survive a
// crash: a reader sees the old content or the new, never a mixture.
package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nook-containers/nook/pkg/sys"
)

// Write stores v as JSON at path, mode 0600.
//
// It writes a temporary file in the same directory (rename does not cross
// filesystems), syncs it, renames it over path, and syncs the directory, since
// only that makes the new name itself durable (fsync(2), DESCRIPTION).
func Write(path string, v any) error {
	if err := replace(path, v, (*os.File).Sync); err != nil {
		return err
	}
	return sys.SyncDir(filepath.Dir(path))
}

// WriteVolatile is Write for state that may be lost with the power: readers
// still see the old content or the new, but nothing waits for the disk.
func WriteVolatile(path string, v any) error { return replace(path, v, nil) }

// Read decodes the JSON at path into v. A missing file is fs.ErrNotExist; damage
// is an error that names the file.
func Read(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("state %s is damaged: %w", path, err)
	}
	return nil
}

// Create is Write for a path that must not be there yet: else it returns
// fs.ErrExist and changes nothing.
func Create(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	tmp, err := writeTemp(filepath.Dir(path), append(data, '\n'), (*os.File).Sync)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := errors.Join(os.Link(tmp, path), os.Remove(tmp)); err != nil {
		return err
	}
	return sys.SyncDir(filepath.Dir(path))
}

// CreateExclusive makes path with data, whole or not at all, and returns
// fs.ErrExist where path is already there. A reader never sees it empty, since
// link(2) gives the finished file its name.
func CreateExclusive(path string, data []byte) error {
	tmp, err := writeTemp(filepath.Dir(path), data, nil)
	if err != nil {
		return err
	}
	return errors.Join(os.Link(tmp, path), os.Remove(tmp))
}

func replace(path string, v any, flush func(*os.File) error) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	tmp, err := writeTemp(filepath.Dir(path), append(data, '\n'), flush)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}

func writeTemp(dir string, data []byte, flush func(*os.File) error) (name string, err error) {
	f, err := os.CreateTemp(dir, ".new-*") // 0600, O_EXCL
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(data); err == nil && flush != nil {
		err = flush(f)
	}
	return f.Name(), errors.Join(err, f.Close())
}

// Update changes the state at path under an exclusive lock.
//
// It locks path+".lock", decodes the present state (the zero T where there is
// none), calls change, and writes the result. If change fails nothing is
// written. change must be quick and must not wait for a network or a process:
// it holds up every other command. The lock file is never removed: unlinking a
// lock others may hold lets two holders in.
func Update[T any](path string, change func(*T) error) error {
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // releases the lock
	if err := sys.Lock(lock); err != nil {
		return err
	}
	var state T
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(data, &state); err != nil {
			return fmt.Errorf("state %s is damaged: %w", path, err)
		}
	}
	if err := change(&state); err != nil {
		return err
	}
	return Write(path, state)
}
