package sys

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Tree is the root of a directory tree that strangers filled: a layer being
// unpacked, a container's root. Paths given to it are resolved as if the tree
// were the root directory ("/", ".." at the top and absolute symbolic links all
// lead to its root), so that no name and no link leads out of it (openat2(2),
// RESOLVE_IN_ROOT).
type Tree struct {
	root *os.File
	live bool // names lead into what is mounted below
}

// Dir is one directory of a Tree, held open. Names given to its methods are
// single path components and are never followed when they are symbolic links.
type Dir struct{ f *os.File }

// NewTree opens the directory at path as a Tree.
func NewTree(path string) (*Tree, error) {
	f, err := openTreeRoot(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	return &Tree{root: f}, nil
}

func openTreeRoot(path string, flags int) (*os.File, error) {
	fd := -1
	err := retryEINTR(func() (err error) {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Close closes the tree; directories opened from it stay open.
func (t *Tree) Close() error { return t.root.Close() }

// Name is the path the tree was opened with.
func (t *Tree) Name() string { return t.root.Name() }

// open2 opens path inside the tree. An EAGAIN means that a rename elsewhere on
// the host raced with a ".." (openat2(2), ERRORS), so it is tried again.
func (t *Tree) open2(path string, flags, resolve uint64) (*os.File, error) {
	if path == "" {
		path = "."
	}
	how := unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: resolve | unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	if !t.live {
		how.Resolve |= unix.RESOLVE_NO_XDEV
	}
	for range 1000 {
		fd, err := unix.Openat2(int(t.root.Fd()), path, &how)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "openat2", Path: path, Err: err}
		}
		return os.NewFile(uintptr(fd), path), nil
	}
	return nil, &os.PathError{Op: "openat2", Path: path, Err: unix.EAGAIN}
}

// OpenDir opens the directory at path inside the tree.
func (t *Tree) OpenDir(path string) (*Dir, error) {
	f, err := t.open2(path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &Dir{f: f}, nil
}

// Open opens the regular file at path inside the tree for reading. Anything else
// in its place is refused, symbolic links on the way included.
func (t *Tree) Open(path string) (*os.File, error) {
	f, err := t.open2(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return nil, err
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		f.Close()
		return nil, &os.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	return f, nil
}

// Close closes the directory.
func (d *Dir) Close() error { return d.f.Close() }

// Name is the directory's path inside its tree, as it was asked for.
func (d *Dir) Name() string { return d.f.Name() }

func (d *Dir) fd() int { return int(d.f.Fd()) }

func (d *Dir) do(op, name string, call func() error) error {
	if err := retryEINTR(call); err != nil {
		return &os.PathError{Op: op, Path: d.Name() + "/" + name, Err: err}
	}
	return nil
}

// Create makes the regular file name, which must not exist, for writing.
func (d *Dir) Create(name string, mode uint32) (*os.File, error) {
	fd := -1
	err := d.do("create", name, func() (err error) {
		fd, err = unix.Openat(d.fd(), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.Name()+"/"+name), nil
}

// Open opens name, a directory or regular file, for reading. A symbolic link is
// not followed but refused.
func (d *Dir) Open(name string) (*os.File, error) {
	return d.open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
}

// open opens name itself, with flags besides those that keep it safe.
func (d *Dir) open(name string, flags int) (*os.File, error) {
	fd := -1
	err := d.do("open", name, func() (err error) {
		fd, err = unix.Openat(d.fd(), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.Name()+"/"+name), nil
}

// OpenDir opens the directory name.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	fd := -1
	err := d.do("open", name, func() (err error) {
		fd, err = unix.Openat(d.fd(), name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Dir{f: os.NewFile(uintptr(fd), d.Name()+"/"+name)}, nil
}

// Mkdir makes the directory name.
func (d *Dir) Mkdir(name string, mode uint32) error {
	return d.do("mkdir", name, func() error { return unix.Mkdirat(d.fd(), name, mode) })
}

// Mknod makes the special file name: mode has one of the S_IF bits.
func (d *Dir) Mknod(name string, mode uint32, major, minor uint32) error {
	dev := unix.Mkdev(major, minor)
	return d.do("mknod", name, func() error { return unix.Mknodat(d.fd(), name, mode, int(dev)) }) //nolint:gosec // dev_t fits
}

// Symlink makes name a symbolic link to target.
func (d *Dir) Symlink(target, name string) error {
	return d.do("symlink", name, func() error { return unix.Symlinkat(target, d.fd(), name) })
}

// Readlink returns the target of the symbolic link name.
func (d *Dir) Readlink(name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n := 0
	err := d.do("readlink", name, func() (err error) {
		n, err = unix.Readlinkat(d.fd(), name, buf)
		return err
	})
	return string(buf[:max(n, 0)]), err
}

// Link makes name in d another name of oldName in old.
func (d *Dir) Link(old *Dir, oldName, name string) error {
	return d.do("link", name, func() error { return unix.Linkat(old.fd(), oldName, d.fd(), name, 0) })
}

// Remove removes name, and everything below it when it is a directory.
func (d *Dir) Remove(name string) error {
	r, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", d.fd()))
	if err != nil {
		return err
	}
	defer r.Close()
	return r.RemoveAll(name)
}

// FileStat is what lstat(2) tells about a file, in the kernel's terms.
type FileStat struct {
	Mode     uint32 // with the S_IF bits
	UID, GID uint32
	Dev, Ino uint64
	Links    uint64
	Rdev     uint64
	Size     int64
	Mtime    time.Time
}

// Kind is the S_IF part of the mode.
func (s FileStat) Kind() uint32 { return s.Mode & unix.S_IFMT }

// Lstat describes name.
func (d *Dir) Lstat(name string) (FileStat, error) {
	var st unix.Stat_t
	err := d.do("lstat", name, func() error { return unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return FileStat{
		Mode: st.Mode, UID: st.Uid, GID: st.Gid, Dev: st.Dev, Ino: st.Ino,
		Links: uint64(st.Nlink), Rdev: st.Rdev, //nolint:unconvert // uint32 on arm64
		Size:  st.Size,
		Mtime: time.Unix(st.Mtim.Unix()),
	}, err
}

// IsDir reports whether name is a directory.
func (d *Dir) IsDir(name string) bool {
	st, err := d.Lstat(name)
	return err == nil && st.Kind() == unix.S_IFDIR
}

// IsLink reports whether name is a symbolic link.
func (d *Dir) IsLink(name string) bool {
	st, err := d.Lstat(name)
	return err == nil && st.Kind() == unix.S_IFLNK
}

// Lchown gives name to uid and gid.
func (d *Dir) Lchown(name string, uid, gid int) error {
	return d.do("chown", name, func() error { return unix.Fchownat(d.fd(), name, uid, gid, unix.AT_SYMLINK_NOFOLLOW) })
}

// Chmod changes the mode of name, which must not be a symbolic link. mode has
// the kernel's bits, set-user-ID and such included.
func (d *Dir) Chmod(name string, mode uint32) error {
	f, err := d.open(name, unix.O_PATH)
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := d.Lstat(name); err != nil {
		return err
	} else if st.Kind() == unix.S_IFLNK {
		return &os.PathError{Op: "chmod", Path: d.Name() + "/" + name, Err: unix.ELOOP}
	}
	// fchmod(2) refuses O_PATH descriptors, and fchmodat(2) has no flags before
	// Linux 6.6; the descriptor's name below /proc leads to the same inode.
	return d.do("chmod", name, func() error {
		return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), mode)
	})
}

// Chtimes sets access and modification time of name itself.
func (d *Dir) Chtimes(name string, atime, mtime time.Time) error {
	ts := timespecs(atime, mtime)
	return d.do("set times", name, func() error {
		return unix.UtimesNanoAt(d.fd(), name, ts, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// Setxattr sets an extended attribute of name, a directory or regular file.
func (d *Dir) Setxattr(name, attr string, value []byte) error {
	f, err := d.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return SetXattr(f, attr, value)
}

// SetXattr sets an extended attribute of the open file (fsetxattr(2)).
func SetXattr(f *os.File, attr string, value []byte) error {
	err := retryEINTR(func() error { return unix.Fsetxattr(int(f.Fd()), attr, value, 0) })
	if err != nil {
		return &os.PathError{Op: "setxattr " + attr, Path: f.Name(), Err: err}
	}
	return nil
}

// GetXattr returns an extended attribute of the open file, and nil where it has
// none of that name.
func GetXattr(f *os.File, attr string) ([]byte, error) {
	buf := make([]byte, 1<<16) // XATTR_SIZE_MAX
	n := 0
	err := retryEINTR(func() (err error) {
		n, err = unix.Fgetxattr(int(f.Fd()), attr, buf)
		return err
	})
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "getxattr " + attr, Path: f.Name(), Err: err}
	}
	return buf[:n], nil
}

// ListXattrs returns the names of the extended attributes of the open file.
func ListXattrs(f *os.File) ([]string, error) {
	buf := make([]byte, 1<<16) // XATTR_LIST_MAX
	n := 0
	err := retryEINTR(func() (err error) {
		n, err = unix.Flistxattr(int(f.Fd()), buf)
		return err
	})
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "listxattr", Path: f.Name(), Err: err}
	}
	var names []string
	for start, i := 0, 0; i < n; i++ {
		if buf[i] == 0 {
			names = append(names, string(buf[start:i]))
			start = i + 1
		}
	}
	return names, nil
}

// SetOwnerModeTimes sets, in this order, owner, mode (the kernel's bits) and
// times of the open file; chown(2) may clear mode bits, so the mode comes later.
func SetOwnerModeTimes(f *os.File, uid, gid int, mode uint32, mtime time.Time) error {
	fd := int(f.Fd())
	if err := retryEINTR(func() error { return unix.Fchown(fd, uid, gid) }); err != nil {
		return &os.PathError{Op: "chown", Path: f.Name(), Err: err}
	}
	if err := retryEINTR(func() error { return unix.Fchmod(fd, mode) }); err != nil {
		return &os.PathError{Op: "chmod", Path: f.Name(), Err: err}
	}
	return SetTimes(f, mtime, mtime)
}

// SetTimes sets access and modification time of the open file (futimens(3)).
func SetTimes(f *os.File, atime, mtime time.Time) error {
	ts := timespecs(atime, mtime)
	if err := retryEINTR(func() error { return futimens(int(f.Fd()), &ts[0]) }); err != nil {
		return &os.PathError{Op: "set times", Path: f.Name(), Err: err}
	}
	return nil
}

// timespecs converts times for utimensat(2). A file system that cannot hold one
// stores its nearest (fs/attr.c, timestamp_truncate).
func timespecs(atime, mtime time.Time) []unix.Timespec {
	return []unix.Timespec{
		{Sec: atime.Unix(), Nsec: int64(atime.Nanosecond())},
		{Sec: mtime.Unix(), Nsec: int64(mtime.Nanosecond())},
	}
}
