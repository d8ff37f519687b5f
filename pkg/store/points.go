package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/nook-containers/nook/pkg/sys"
)

// pointsDir holds trees of empty files on which something is mounted in containers, one
// tree for each set of them.
const pointsDir = "nook.points"

// points returns a tree that has the files, each of them empty and in a directory at its
// top, and makes it if it is not there. As the lowest layer of a root it has what to mount
// on where an image lacks it, which else each container gets in its own layer, with a copy
// of the directory that it is in. Containers that run have the tree mounted: it does not
// change once it has its name. Where there can be none the result is "": a container
// starts without.
func (s *Store) points(files []string) string {
	if len(files) == 0 {
		return ""
	}
	all := filepath.Join(s.o.Root, pointsDir)
	dir := filepath.Join(all, strings.ReplaceAll(strings.Join(files, ""), "/", "-"))
	if isDir(dir) {
		return dir
	}
	if err := mkdir(all); err != nil {
		return ""
	}
	lock, err := os.Open(all)
	if err != nil {
		return ""
	}
	defer lock.Close()
	if err := sys.Lock(lock); err != nil {
		return ""
	}
	if isDir(dir) { // another start was first
		return dir
	}
	next := filepath.Join(all, "next")
	err = errors.Join(os.RemoveAll(next), mkdir(next), os.Chmod(next, 0o755)) //nolint:gosec // as in an image
	for _, f := range files {
		err = errors.Join(err, emptyFile(filepath.Join(next, f)))
	}
	if err != nil || os.Rename(next, dir) != nil {
		return ""
	}
	return dir
}

func isDir(path string) bool {
	fi, err := os.Lstat(path)
	return err == nil && fi.IsDir()
}

// emptyFile makes a file, and the directory that it is in, with the modes that they
// have in images.
func emptyFile(path string) error {
	dir := filepath.Dir(path)
	if err := errors.Join(mkdir(dir), os.Chmod(dir, 0o755)); err != nil { //nolint:gosec // all may read it
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o644), f.Close())
}
