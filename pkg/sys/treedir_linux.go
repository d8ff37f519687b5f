package sys

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// PathInRoot opens path with O_PATH as a process whose root directory is root
// would: every symbolic link and ".." stays inside (openat2(2),
// RESOLVE_IN_ROOT). root may be a detached mount.
func PathInRoot(root *os.File, path string) (*os.File, error) {
	return (&Tree{root: root, live: true}).open2(path, unix.O_PATH, 0)
}

// DirInRoot is PathInRoot for a directory to work in.
func DirInRoot(root *os.File, path string) (*Dir, error) {
	return (&Tree{root: root, live: true}).OpenDir(path)
}

// OpenHostDir opens a directory of the host that the caller trusts the path of.
func OpenHostDir(path string) (*Dir, error) {
	f, err := openTreeRoot(path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return &Dir{f: f}, nil
}

// Names lists what is in the directory, sorted.
func (d *Dir) Names() ([]string, error) {
	f, err := d.open(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, errors.Join(err, f.Close())
}

// CloneFrom returns a detached mount of what the O_PATH descriptor f refers to:
// what "mount --bind" would show of it (open_tree(2), OPEN_TREE_CLONE).
func CloneFrom(f *os.File) (*os.File, error) {
	fd, err := unix.OpenTree(int(f.Fd()), "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: f.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// Device splits a device number (makedev(3)).
func Device(rdev uint64) (major, minor int64) {
	return int64(unix.Major(rdev)), int64(unix.Minor(rdev))
}

// AttachAt moves the detached mount tree onto path (move_mount(2)).
func AttachAt(tree *os.File, path string) error {
	if err := unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "move_mount", Path: path, Err: err}
	}
	return nil
}

// UnmountLazy takes the mount at path out of sight; who has it open keeps it
// (umount2(2), MNT_DETACH).
func UnmountLazy(path string) error { return lazyUnmount(path) }
