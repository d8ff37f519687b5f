package sys

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// LiveTree is a Tree of the directory that f is open on, in which other file
// systems may be mounted: names lead through them as they would for a process
// with that root directory. It takes a descriptor of its own.
func LiveTree(f *os.File) (*Tree, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "fcntl F_DUPFD_CLOEXEC", Path: f.Name(), Err: err}
	}
	return &Tree{root: os.NewFile(uintptr(fd), f.Name()), live: true}, nil //nolint:gosec // a descriptor
}

// Place opens what is at path inside the tree, of whatever kind, only as a place to
// mount on (open(2), O_PATH).
func (t *Tree) Place(path string) (*os.File, error) { return t.open2(path, unix.O_PATH, 0) }

// Path is where the directory is inside the tree now, without links: absolute and
// clean. It is a hint only, since somebody else may move the directory.
func (t *Tree) Path(d *Dir) (string, error) {
	root, err := os.Readlink(fdPath(t.root))
	if err != nil {
		return "", err
	}
	at, err := os.Readlink(fdPath(d.f))
	if err != nil {
		return "", err
	}
	if root == "/" {
		return at, nil
	}
	if at == root {
		return "/", nil
	}
	if len(at) > len(root) && at[:len(root)] == root && at[len(root)] == '/' {
		return at[len(root):], nil
	}
	return "", &os.PathError{Op: "find", Path: d.Name(), Err: errors.New("it was moved out of the tree")}
}

func fdPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// Overwrite opens the regular file name to give it new content in place, for a
// file that cannot be replaced because something is mounted on it.
func (d *Dir) Overwrite(name string) (*os.File, error) {
	f, err := d.open(name, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = &os.PathError{Op: "overwrite", Path: d.Name() + "/" + name, Err: errors.New("not a regular file")}
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Pseudo reports whether the directory is of a file system that shows the kernel,
// and holds no files of anybody's: proc, sysfs, cgroup and such (statfs(2)).
func (d *Dir) Pseudo() (bool, error) {
	var st unix.Statfs_t
	if err := retryEINTR(func() error { return unix.Fstatfs(d.fd(), &st) }); err != nil {
		return false, &os.PathError{Op: "statfs", Path: d.Name(), Err: err}
	}
	switch int64(st.Type) { //nolint:unconvert // int32 on some architectures
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEVPTS_SUPER_MAGIC,
		unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, mqueueMagic:
		return true, nil
	}
	return false, nil
}

// mqueueMagic is that of ipc/mqueue.c, which no header has.
const mqueueMagic = 0x19800202

// Vanished reports whether err says that a file is gone, or has become another
// kind of file, since its directory was read.
func Vanished(err error) bool {
	for _, e := range []error{os.ErrNotExist, unix.ENOTDIR, unix.ELOOP, unix.ENXIO, unix.EINVAL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
