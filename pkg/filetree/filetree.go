// Package filetree copies directory trees and changes their owners.
//
// # Theory of operation
//
// The trees belong to containers, which may change them at any moment: a name
// that was a directory becomes a link to the host's files. So nothing is named
// by a path of several components. Every directory is held open while its files
// are worked on, and each file is reached from there by calls that follow no
// link (sys.Dir). A walk costs one descriptor for each level of depth.
package filetree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys"
)

// maxDepth bounds how deep a tree is gone into. PATH_MAX would allow 2048 levels
// to be named.
const maxDepth = 2048

// errDeep stands for a tree that is deeper.
var errDeep = errors.New("more than 2048 directories deep")

// Copy fills to, an empty directory that nobody else uses, with what from has,
// and makes it like from itself: owners, modes, times, extended attributes, and
// which files are one file under several names. Sockets and device nodes, which
// mean nothing elsewhere, are left out.
func Copy(ctx context.Context, from, to *sys.Dir) error {
	c := &copier{ctx: ctx, top: to, links: map[inode]string{}}
	return c.dir(from, to, ".", 0)
}

type inode struct{ dev, ino uint64 }

type copier struct {
	ctx   context.Context //nolint:containedctx // lives for one call of Copy
	top   *sys.Dir
	links map[inode]string // files with several names: the first, below top
}

// dir copies from's files and then, since that changes its times, from's own
// description.
func (c *copier) dir(from, to *sys.Dir, rel string, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	names, err := from.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}
		if err := c.entry(from, to, entry{name, path.Join(rel, name), depth}); err != nil {
			return err
		}
	}
	st, err := from.Lstat(".")
	if err != nil {
		return err
	}
	if err := copyXattrs(from, to, "."); err != nil {
		return err
	}
	return describe(to, ".", st)
}

// entry is one name on the way.
type entry struct {
	name, rel string // in its directory, and below the top
	depth     int
}

func (c *copier) entry(from, to *sys.Dir, e entry) error {
	st, err := from.Lstat(e.name)
	if err != nil {
		return err
	}
	switch st.Kind() {
	case syscall.S_IFDIR:
		return c.subdir(from, to, e)
	case syscall.S_IFREG:
		return c.file(from, to, e, st)
	case syscall.S_IFLNK:
		target, err := from.Readlink(e.name)
		if err == nil {
			err = to.Symlink(target, e.name)
		}
		if err != nil {
			return err
		}
	case syscall.S_IFIFO:
		if err := to.Mknod(e.name, syscall.S_IFIFO|0o600, 0, 0); err != nil {
			return err
		}
	default:
		return nil
	}
	return describe(to, e.name, st)
}

func (c *copier) subdir(from, to *sys.Dir, e entry) error {
	src, err := from.OpenDir(e.name)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := to.Mkdir(e.name, 0o700); err != nil {
		return err
	}
	dst, err := to.OpenDir(e.name)
	if err != nil {
		return err
	}
	defer dst.Close()
	return c.dir(src, dst, e.rel, e.depth+1)
}

func (c *copier) file(from, to *sys.Dir, e entry, st sys.FileStat) error {
	id := inode{st.Dev, st.Ino}
	if st.Links > 1 {
		if first, ok := c.links[id]; ok {
			// The name leads through directories made by this copy alone.
			return to.Link(c.top, first, e.name)
		}
		c.links[id] = e.rel
	}
	src, err := from.Open(e.name)
	if err != nil {
		return err
	}
	defer src.Close()
	if fi, err := src.Stat(); err != nil || !fi.Mode().IsRegular() {
		return errors.Join(err, fmt.Errorf("copy %s: changed meanwhile", e.rel))
	}
	dst, err := to.Create(e.name, 0o600)
	if err != nil {
		return err
	}
	defer dst.Close()
	if _, err := io.Copy(dst, src); err != nil { // copy_file_range(2): shared blocks where the file system can
		return fmt.Errorf("copy %s: %w", e.rel, err)
	}
	if err := copyAttrs(src, dst); err != nil {
		return err
	}
	return sys.SetOwnerModeTimes(dst, int(st.UID), int(st.GID), st.Mode&0o7777, st.Mtime)
}

// describe gives name in d the owner, mode and time of st.
func describe(d *sys.Dir, name string, st sys.FileStat) error {
	if err := d.Lchown(name, int(st.UID), int(st.GID)); err != nil {
		return err
	}
	if st.Kind() != syscall.S_IFLNK {
		if err := d.Chmod(name, st.Mode&0o7777); err != nil { // after chown(2), which clears bits
			return err
		}
	}
	return d.Chtimes(name, st.Mtime, st.Mtime)
}

func copyXattrs(from, to *sys.Dir, name string) error {
	src, err := from.Open(name)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := to.Open(name)
	if err != nil {
		return err
	}
	defer dst.Close()
	return copyAttrs(src, dst)
}

func copyAttrs(src, dst *os.File) error {
	names, err := sys.ListXattrs(src)
	if err != nil {
		return err
	}
	for _, n := range names {
		if Private(n) {
			continue
		}
		value, err := sys.GetXattr(src, n)
		if err != nil {
			return err
		}
		if err := sys.SetXattr(dst, n, value); err != nil && !errors.Is(err, syscall.ENOTSUP) {
			return err
		}
	}
	return nil
}

// Private reports whether an extended attribute belongs to the place where a file
// is, not to the file: marks of overlay file systems and labels of the host.
func Private(attr string) bool {
	for _, prefix := range []string{"trusted.", "user.overlay.", "user.containers.", "user.fuseoverlayfs.", "security.selinux", "security.ima", "security.evm"} {
		if strings.HasPrefix(attr, prefix) {
			return true
		}
	}
	return false
}

// Chown gives d and everything below it to uid and gid. What belongs to them
// already is not touched.
func Chown(ctx context.Context, d *sys.Dir, uid, gid uint32) error {
	if err := chownOne(d, ".", uid, gid); err != nil {
		return err
	}
	return chownBelow(ctx, d, owner{uid, gid}, 0)
}

type owner struct{ uid, gid uint32 }

func chownBelow(ctx context.Context, d *sys.Dir, o owner, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	names, err := d.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := chownOne(d, name, o.uid, o.gid)
		if err == nil && d.IsDir(name) {
			err = chownDir(ctx, d, name, o, depth)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) { // somebody deletes files meanwhile
			return err
		}
	}
	return nil
}

func chownDir(ctx context.Context, d *sys.Dir, name string, o owner, depth int) error {
	sub, err := d.OpenDir(name)
	if err != nil {
		return err
	}
	defer sub.Close()
	return chownBelow(ctx, sub, o, depth+1)
}

func chownOne(d *sys.Dir, name string, uid, gid uint32) error {
	st, err := d.Lstat(name)
	if err != nil || st.UID == uid && st.GID == gid {
		return err
	}
	return d.Lchown(name, int(uid), int(gid))
}

// Empty removes everything in d.
func Empty(d *sys.Dir) error {
	names, err := d.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := d.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// CopyTop makes to like from itself, without the files in it.
func CopyTop(from, to *sys.Dir) error {
	st, err := from.Lstat(".")
	if err != nil {
		return err
	}
	return describe(to, ".", st)
}
