package archive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/vbatts/tar-split/archive/tar"

	"github.com/nook-containers/nook/pkg/sys"
)

// Names of whiteouts (image-spec, layer.md).
const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
	whiteoutMeta   = ".wh..wh." // aufs's own files, which mean nothing here
)

// opaqueAttr is overlay's name for it with "userxattr".
const opaqueAttr = "user.overlay.opaque"

// extract makes the file of one entry.
func (u *unpacker) extract(hdr *tar.Header, content io.Reader) error {
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := cleanName(hdr.Name)
	if err != nil {
		return err
	}
	if name == "." && u.under != "." {
		return nil
	}
	if name == "." {
		return u.rootEntry(hdr)
	}
	name = path.Join(u.under, name)
	if !u.o.KeepWhiteouts && aufsOwn(name) {
		return nil
	}
	parent, base, err := u.parentOf(name)
	if err != nil {
		return fmt.Errorf("%s: %w", hdr.Name, err)
	}
	if strings.HasPrefix(base, whiteoutPrefix) && !u.o.KeepWhiteouts {
		return u.whiteout(parent, base, hdr)
	}
	if hdr.Typeflag == tar.TypeDir {
		return u.directory(parent, base, name, hdr)
	}
	return u.file(parent, base, hdr, content)
}

// file makes anything but a directory.
func (u *unpacker) file(parent *sys.Dir, base string, hdr *tar.Header, content io.Reader) error {
	switch hdr.Typeflag {
	case tar.TypeReg, 0, tar.TypeCont, tar.TypeGNUSparse:
		return u.regular(parent, base, hdr, content)
	case tar.TypeSymlink:
		return u.symlink(parent, base, hdr)
	case tar.TypeLink:
		return u.hardlink(parent, base, hdr)
	case tar.TypeFifo:
		return u.fifo(parent, base, hdr)
	case tar.TypeChar, tar.TypeBlock:
		u.note("device", "device nodes such as %s were left out: a user namespace cannot make them", hdr.Name)
		return nil
	default:
		return fmt.Errorf("%s: unknown kind of file %q", hdr.Name, hdr.Typeflag)
	}
}

// aufsOwn reports whether name is one of aufs's own files, or is in one of its
// directories.
func aufsOwn(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, whiteoutMeta) && part != whiteoutOpaque {
			return true
		}
	}
	return false
}

// rootEntry applies the entry for the layer's root directory itself.
func (u *unpacker) rootEntry(hdr *tar.Header) error {
	if hdr.Typeflag != tar.TypeDir {
		return fmt.Errorf("%s: the root of a layer must be a directory", hdr.Name)
	}
	uid, gid, err := u.owner(hdr)
	if err != nil {
		return err
	}
	u.result.HasRoot = true
	u.result.RootMode = u.modeOf(hdr)
	if err := u.directoryMeta(u.root, ".", hdr, uid, gid); err != nil {
		return err
	}
	u.late = append(u.late, lateDir{".", hdr.ModTime})
	return nil
}

func (u *unpacker) modeOf(hdr *tar.Header) uint32 {
	if u.o.DropSetID {
		return uint32(hdr.Mode) & 0o1777 //nolint:gosec // masked
	}
	return uint32(hdr.Mode) & 0o7777 //nolint:gosec // masked
}

func (u *unpacker) directory(parent *sys.Dir, base, name string, hdr *tar.Header) error {
	uid, gid, err := u.owner(hdr)
	if err != nil {
		return err
	}
	err = parent.Mkdir(base, 0o700)
	if errors.Is(err, os.ErrExist) && !parent.IsDir(base) {
		if u.o.KeepKinds {
			return fmt.Errorf("%s: a directory would replace what is no directory", hdr.Name)
		}
		hidden := u.isWhiteout(parent, base)
		if err = u.replace(parent, base, hdr); err != nil {
			return err
		}
		if err = parent.Mkdir(base, 0o700); err == nil && hidden {
			err = parent.Setxattr(base, opaqueAttr, attrOpaque())
		}
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	u.late = append(u.late, lateDir{name, hdr.ModTime})
	return u.directoryMeta(parent, base, hdr, uid, gid)
}

func (u *unpacker) directoryMeta(parent *sys.Dir, base string, hdr *tar.Header, uid, gid int) error {
	f, err := parent.Open(base)
	if err != nil {
		return err
	}
	defer f.Close()
	return u.meta(f, hdr, uid, gid)
}

// meta sets everything about an open file but its content.
func (u *unpacker) meta(f *os.File, hdr *tar.Header, uid, gid int) error {
	if err := sys.SetOwnerModeTimes(f, uid, gid, u.modeOf(hdr), hdr.ModTime); err != nil {
		return err
	}
	for attr, value := range xattrs(hdr) {
		if attr == "security.capability" && !goodCapability(value) {
			u.note("capability", "%s: its file capabilities are damaged and were left out", hdr.Name)
			continue
		}
		err := sys.SetXattr(f, attr, []byte(value))
		if errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) {
			u.note("xattr "+attr, "%s: attribute %s was left out: %v", hdr.Name, attr, errors.Unwrap(err))
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) regular(parent *sys.Dir, base string, hdr *tar.Header, content io.Reader) error {
	uid, gid, err := u.owner(hdr)
	if err != nil {
		return err
	}
	f, err := parent.Create(base, 0o600)
	inPlace := false
	if errors.Is(err, os.ErrExist) {
		switch err = u.replace(parent, base, hdr); {
		case err == nil:
			f, err = parent.Create(base, 0o600)
		case errors.Is(err, syscall.EBUSY) && u.under != ".":
			f, err = parent.Overwrite(base)
			inPlace = true
		}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := u.copy(f, content, hdr); err != nil || inPlace {
		return err
	}
	return u.meta(f, hdr, uid, gid)
}

func (u *unpacker) copy(f *os.File, content io.Reader, hdr *tar.Header) error {
	for {
		n, err := content.Read(u.buf)
		if n > 0 {
			if serr := u.space.wrote(n); serr != nil {
				return fmt.Errorf("%s: %w", hdr.Name, serr)
			}
			if _, werr := f.Write(u.buf[:n]); werr != nil {
				return werr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read tar: %s: %w", hdr.Name, err)
		}
	}
}

func (u *unpacker) symlink(parent *sys.Dir, base string, hdr *tar.Header) error {
	uid, gid, err := u.owner(hdr)
	if err != nil {
		return err
	}
	err = u.make(parent, base, hdr, func() error { return parent.Symlink(hdr.Linkname, base) })
	if err != nil {
		return err
	}
	if err := parent.Lchown(base, uid, gid); err != nil {
		return err
	}
	return parent.Chtimes(base, hdr.ModTime, hdr.ModTime)
}

func (u *unpacker) fifo(parent *sys.Dir, base string, hdr *tar.Header) error {
	uid, gid, err := u.owner(hdr)
	if err != nil {
		return err
	}
	err = u.make(parent, base, hdr, func() error { return parent.Mknod(base, syscall.S_IFIFO|0o600, 0, 0) })
	if err != nil {
		return err
	}
	return u.special(parent, base, hdr, uid, gid)
}

func (u *unpacker) special(parent *sys.Dir, base string, hdr *tar.Header, uid, gid int) error {
	if err := parent.Lchown(base, uid, gid); err != nil {
		return err
	}
	if err := parent.Chmod(base, u.modeOf(hdr)); err != nil {
		return err
	}
	return parent.Chtimes(base, hdr.ModTime, hdr.ModTime)
}

// hardlink gives a file that the layer already has another name. The target is
// found inside the layer like every other name, and is not followed itself.
func (u *unpacker) hardlink(parent *sys.Dir, base string, hdr *tar.Header) error {
	target, err := cleanName(hdr.Linkname)
	if err != nil {
		return fmt.Errorf("%s: hard link: %w", hdr.Name, err)
	}
	target = path.Join(u.under, target)
	dir, err := u.tree.OpenDir(path.Dir(target))
	if err != nil {
		return fmt.Errorf("%s: hard link: %w", hdr.Name, err)
	}
	defer dir.Close()
	old, err := dir.Lstat(path.Base(target))
	if err != nil {
		return fmt.Errorf("%s: hard link: %w", hdr.Name, err)
	}
	if now, err := parent.Lstat(base); err == nil && now.Ino == old.Ino && now.Dev == old.Dev {
		return nil
	}
	return u.make(parent, base, hdr, func() error { return parent.Link(dir, path.Base(target), base) })
}

// make calls create and, where the name is taken, again after removing what has
// it.
func (u *unpacker) make(parent *sys.Dir, base string, hdr *tar.Header, create func() error) error {
	err := create()
	if errors.Is(err, os.ErrExist) {
		if err = u.replace(parent, base, hdr); err == nil {
			err = create()
		}
	}
	return err
}

// replace removes what an earlier entry of the layer left at base.
func (u *unpacker) replace(parent *sys.Dir, base string, hdr *tar.Header) error {
	if u.o.KeepKinds && parent.IsDir(base) {
		return fmt.Errorf("%s: it would replace a directory", hdr.Name)
	}
	if err := parent.Remove(base); err != nil {
		return err
	}
	u.dirs.stale = true // a cached path may lead through it
	return nil
}

func (u *unpacker) isWhiteout(parent *sys.Dir, base string) bool {
	st, err := parent.Lstat(base)
	return err == nil && st.Kind() == syscall.S_IFCHR && st.Rdev == 0
}

// whiteout hides, in lower layers only, one name or all of a directory.
func (u *unpacker) whiteout(parent *sys.Dir, base string, hdr *tar.Header) error {
	if base == whiteoutOpaque {
		return parent.Setxattr(".", opaqueAttr, attrOpaque())
	}
	hidden := strings.TrimPrefix(base, whiteoutPrefix)
	if hidden == "" || hidden == "." || hidden == ".." {
		return fmt.Errorf("%s: this whiteout hides nothing that could exist", hdr.Name)
	}
	err := parent.Mknod(hidden, syscall.S_IFCHR, 0, 0)
	if !errors.Is(err, os.ErrExist) {
		return err
	}
	if parent.IsDir(hidden) { // the layer deleted a directory and made it anew
		return parent.Setxattr(hidden, opaqueAttr, attrOpaque())
	}
	return nil // what the layer has hides what lower layers have
}
