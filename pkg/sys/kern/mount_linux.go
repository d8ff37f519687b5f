package kern

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Attributes of a mount (mount_setattr(2)).
const (
	AttrReadonly    = unix.MOUNT_ATTR_RDONLY
	AttrNosuid      = unix.MOUNT_ATTR_NOSUID
	AttrNodev       = unix.MOUNT_ATTR_NODEV
	AttrNoexec      = unix.MOUNT_ATTR_NOEXEC
	AttrAtimeMask   = unix.MOUNT_ATTR__ATIME
	AttrNoatime     = unix.MOUNT_ATTR_NOATIME
	AttrStrictatime = unix.MOUNT_ATTR_STRICTATIME
	AttrNodiratime  = unix.MOUNT_ATTR_NODIRATIME
	AttrNosymfollow = unix.MOUNT_ATTR_NOSYMFOLLOW
)

// CloneTree returns a detached copy of the mount at path, and with recursive of
// all mounts below it (open_tree(2)). A final symbolic link is not followed
// where nofollow is set. With path "" the copy is of fd dir itself.
func CloneTree(dir int, path string, opts ...TreeOpt) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	for _, o := range opts {
		flags |= uint(o)
	}
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	return retryFD(func() (int, error) { return unix.OpenTree(dir, path, flags) })
}

// A TreeOpt modifies CloneTree and SetAttr.
type TreeOpt uint

// Options of CloneTree and SetAttr.
const (
	Recursive TreeOpt = unix.AT_RECURSIVE
	NoFollow  TreeOpt = unix.AT_SYMLINK_NOFOLLOW
)

// Attach moves the mount of descriptor mnt onto the object of descriptor target.
func Attach(mnt, target int) error {
	return unix.MoveMount(mnt, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// AttachAt moves the mount of descriptor mnt onto path.
func AttachAt(mnt int, path string) error {
	return unix.MoveMount(mnt, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// SetAttr sets and clears attributes of the mount of descriptor mnt, and its
// propagation (MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE; 0 leaves it).
func SetAttr(mnt int, a Attr, opts ...TreeOpt) error {
	flags := uint(unix.AT_EMPTY_PATH)
	for _, o := range opts {
		flags |= uint(o)
	}
	return unix.MountSetattr(mnt, "", flags, &unix.MountAttr{Attr_set: a.Set, Attr_clr: a.Clear, Propagation: a.Propagation})
}

// Attr is a change of mount attributes.
type Attr struct{ Set, Clear, Propagation uint64 }

// NewFS makes a detached mount of a new file system of the given type.
// Options are key or key=value strings of the file system.
func NewFS(fstype string, attrs int, options ...string) (int, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer Close(fs)
	for _, o := range options {
		if err := fsOption(fs, o); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
}

func fsOption(fs int, o string) error {
	for i := range len(o) {
		if o[i] == '=' {
			return unix.FsconfigSetString(fs, o[:i], o[i+1:])
		}
	}
	return unix.FsconfigSetFlag(fs, o)
}

// MountHere mounts a new file system on the working directory.
func MountHere(source, fstype string, flags uintptr, data string) error {
	return Retry(func() error { return unix.Mount(source, ".", fstype, flags, data) })
}

// Propagation sets the propagation of the mount at path; with MS_REC below too.
func Propagation(path string, flags uintptr) error {
	return Retry(func() error { return unix.Mount("", path, "", flags, "") })
}

// PivotHere makes the working directory, a mount point, the root of the mount
// namespace and drops the old root with everything mounted in it
// (pivot_root(2), NOTES: pivot_root(".", ".")).
func PivotHere() error {
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return Chdir("/")
}

// Detach takes the mount at path, if there is one, out of the tree.
func Detach(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM) {
		return nil // nothing of ours is mounted there
	}
	return err
}
