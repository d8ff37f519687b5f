package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys"
)

// copiedMark, in the layer's directory, says that the copy is complete.
const copiedMark = "nook.copied"

// copyRoot gives the container all files of its layers as its own. They share
// data blocks with the layers where the file system can do that (reflink). A hard
// link would not do: the container may write to any file.
func copyRoot(l *layout) (*os.File, error) {
	mark := filepath.Join(l.dir, copiedMark)
	if _, err := os.Lstat(mark); err == nil {
		return sys.CloneDir(l.merged)
	}
	if err := errors.Join(mkdir(l.merged), emptyDir(l.merged)); err != nil {
		return nil, err
	}
	tree, err := sys.NewTree(l.merged)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	for _, layer := range slices.Backward(l.lower) {
		if err := copyLayer(tree, layer); err != nil {
			return nil, fmt.Errorf("copy layer %s: %w", filepath.Base(filepath.Dir(layer)), err)
		}
	}
	f, err := os.OpenFile(mark, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return sys.CloneDir(l.merged)
}

// emptyDir removes what an interrupted copy left.
func emptyDir(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, root.RemoveAll(e.Name()))
	}
	return err
}

// copier applies one layer to the tree.
type copier struct {
	to    *sys.Tree
	links map[inode]string // files with several names, and the first in the tree
}

type inode struct{ dev, ino uint64 }

func copyLayer(to *sys.Tree, layer string) error {
	from, err := sys.NewTree(layer)
	if err != nil {
		return err
	}
	defer from.Close()
	src, err := from.OpenDir(".")
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := to.OpenDir(".")
	if err != nil {
		return err
	}
	defer dst.Close()
	c := &copier{to: to, links: map[inode]string{}}
	return c.dir(src, dst, ".")
}

// dir copies what is in src, then what src itself has.
func (c *copier) dir(src, dst *sys.Dir, name string) error {
	f, err := src.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	opaque, err := isOpaque(f)
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	if opaque || slices.Contains(names, ".wh..wh..opq") {
		if err := removeEntries(dst); err != nil {
			return err
		}
	}
	for _, n := range names {
		if err := c.entry(src, dst, n, path.Join(name, n)); err != nil {
			return fmt.Errorf("%s: %w", path.Join(name, n), err)
		}
	}
	st, err := src.Lstat(".")
	if err != nil {
		return err
	}
	to, err := dst.Open(".")
	if err != nil {
		return err
	}
	defer to.Close()
	return copyMeta(to, f, st)
}

func removeEntries(d *sys.Dir) error {
	f, err := d.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	for _, n := range names {
		err = errors.Join(err, d.Remove(n))
	}
	return err
}

func (c *copier) entry(src, dst *sys.Dir, name, full string) error {
	if hidden, ok := strings.CutPrefix(name, ".wh."); ok {
		if strings.HasPrefix(hidden, ".wh.") || hidden == "" {
			return nil
		}
		return dst.Remove(hidden)
	}
	st, err := src.Lstat(name)
	if err != nil {
		return err
	}
	if st.Kind() == syscall.S_IFDIR {
		return c.subdir(src, dst, name, full)
	}
	if err := dst.Remove(name); err != nil {
		return err
	}
	if st.Links > 1 {
		done, err := c.link(dst, inode{st.Dev, st.Ino}, name, full)
		if done || err != nil {
			return err
		}
	}
	return copyNode(src, dst, name, st)
}

// copyNode copies anything but a directory.
func copyNode(src, dst *sys.Dir, name string, st sys.FileStat) error {
	switch st.Kind() {
	case syscall.S_IFREG:
		return copyFile(src, dst, name, st)
	case syscall.S_IFLNK:
		target, err := src.Readlink(name)
		if err != nil {
			return err
		}
		if err := dst.Symlink(target, name); err != nil {
			return err
		}
	case syscall.S_IFIFO, syscall.S_IFSOCK:
		if err := dst.Mknod(name, st.Mode, 0, 0); err != nil {
			return err
		}
	default: // a whiteout; other devices cannot be here
		return nil
	}
	if err := dst.Lchown(name, int(st.UID), int(st.GID)); err != nil {
		return err
	}
	return dst.Chtimes(name, st.Mtime, st.Mtime)
}

// link makes name a further name of a file that was copied already.
func (c *copier) link(dst *sys.Dir, id inode, name, full string) (done bool, err error) {
	first, ok := c.links[id]
	if !ok {
		c.links[id] = full
		return false, nil
	}
	dir, err := c.to.OpenDir(path.Dir(first))
	if err != nil {
		return false, err
	}
	defer dir.Close()
	return true, dst.Link(dir, path.Base(first), name)
}

func (c *copier) subdir(src, dst *sys.Dir, name, full string) error {
	if !dst.IsDir(name) {
		if err := dst.Remove(name); err != nil {
			return err
		}
		if err := dst.Mkdir(name, 0o700); err != nil {
			return err
		}
	}
	from, err := src.OpenDir(name)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := dst.OpenDir(name)
	if err != nil {
		return err
	}
	defer to.Close()
	return c.dir(from, to, full)
}

func copyFile(src, dst *sys.Dir, name string, st sys.FileStat) error {
	from, err := src.Open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := dst.Create(name, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := sys.CloneFile(to, from); err != nil {
		if _, err := io.Copy(to, from); err != nil { // copy_file_range(2), where it works
			return err
		}
	}
	return copyMeta(to, from, st)
}

// copyMeta gives to the owner, mode, times and attributes of from, but for those
// by which overlay file systems remember things.
func copyMeta(to, from *os.File, st sys.FileStat) error {
	if err := sys.SetOwnerModeTimes(to, int(st.UID), int(st.GID), st.Mode&0o7777, st.Mtime); err != nil {
		return err
	}
	names, err := sys.ListXattrs(from)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n, "user.overlay.") || strings.HasPrefix(n, "user.fuseoverlayfs.") || n == "security.selinux" {
			continue
		}
		value, err := sys.GetXattr(from, n)
		if err != nil {
			return err
		}
		if err := sys.SetXattr(to, n, value); err != nil && !errors.Is(err, syscall.EPERM) {
			return err
		}
	}
	return nil
}

// isOpaque reads the marks of the kernel's overlay and of fuse-overlayfs.
func isOpaque(dir *os.File) (bool, error) {
	for _, attr := range []string{"user.overlay.opaque", "user.fuseoverlayfs.opaque"} {
		if value, err := sys.GetXattr(dir, attr); err != nil || string(value) == "y" {
			return err == nil, err
		}
	}
	return false, nil
}
