// Package lab makes the images that the end-to-end tests, the benchmarks and
// "make run" use, from the distribution's own packages: no test depends on a
// registry on the internet.
//
// Theory of operation. A fixture is a directory below Root, named by a hash of
// its recipe, so a changed recipe never meets an old result. It is built aside
// under a lock and renamed into place: a directory that exists is complete.
// Fixtures are read only once they exist.
package lab

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Root is the directory of all fixtures: $NOOK_LAB, else nook-lab in the user's
// cache directory, or in /var/cache for root.
func Root() (string, error) {
	if dir := os.Getenv("NOOK_LAB"); dir != "" {
		return filepath.Abs(dir)
	}
	if os.Getuid() == 0 {
		return "/var/cache/nook-lab", nil
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "nook-lab"), err
}

// ready returns the fixture of that name in $NOOK_LAB_READY, where a machine's
// payload shows those that were made outside.
func ready(name string) (string, bool) {
	dir := os.Getenv("NOOK_LAB_READY")
	return filepath.Join(dir, name), dir != ""
}

// fixture returns the directory of one fixture, building it first if needed.
// The recipe is everything that decides what build writes into its argument.
func fixture(name, recipe string, build func(dir string) error) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(recipe))
	dir := filepath.Join(root, fmt.Sprintf("%s-%x", name, sum[:6]))
	unlock, err := lock(filepath.Join(root, name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	tmp, err := os.MkdirTemp(root, name+".tmp-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp) // fails harmlessly after the rename
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	if err := build(tmp); err != nil {
		return "", fmt.Errorf("make fixture %s: %w", name, err)
	}
	if err := shareable(tmp); err != nil {
		return "", err
	}
	return dir, os.Rename(tmp, dir)
}

// shareable lets every user read a fixture: root makes the benchmarks' for
// another user.
func shareable(dir string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if d.IsDir() {
			mode |= 0o111
		}
		return os.Chmod(p, mode)
	})
}

// lock waits for an exclusive flock(2) on path. The kernel drops it with the
// process, so a killed build leaves nothing to clear.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
