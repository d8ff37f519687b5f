package sys

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Overlay describes an overlay mount (Documentation/filesystems/overlayfs.rst).
type Overlay struct {
	Lower       []string // uppermost first, at least one
	Upper, Work string   // both or none; none: read-only
	// Volatile leaves out every sync: after a power cut Upper is worthless.
	Volatile bool
	// UserXattr keeps overlay's own marks in "user.overlay.", the only
	// attributes that a user namespace may write.
	UserXattr bool
	// Scratch is an empty directory on which MountOverlay may mount for a
	// moment, needed where the kernel takes no layers one by one, and made there.
	Scratch string
	// OnePage passes all options at once also where the kernel takes them one by
	// one, as it must be done before Linux 6.8.
	OnePage bool
}

// OverlayLayers is the overlay option "lowerdir+", which takes one layer at a
// time and so has no limit of one page for all of them.
//
//nolint:gochecknoglobals // the answer holds for the process
var OverlayLayers = &Feature{Name: "overlay lowerdir+", Since: "6.8", Try: func() error {
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.FsconfigSetString(fd, "lowerdir+", "/")
}}

// MountOverlay makes the mount and attaches it nowhere: it lives as long as the
// returned descriptor, or as long as the place that MoveMount gives it. Device
// nodes below it do not work.
func MountOverlay(o Overlay) (*os.File, error) {
	if !o.OnePage {
		// Asking first costs as much as the mount: the kernel waits for RCU when the
		// question is closed.
		f, err := mountOverlayLayers(o)
		if err == nil || OverlayLayers.Check() == nil {
			return f, err
		}
	}
	return mountOverlayPage(o)
}

// overlaySource is what df and mount show in the place of a device; left out, it
// is "none".
const overlaySource = "overlay"

// An option's value holds at most 255 bytes (fs/fsopen.c, strndup_user).
const maxOption = 255

func mountOverlayLayers(o Overlay) (*os.File, error) {
	var held heldDirs
	defer held.close()
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen overlay", err)
	}
	defer unix.Close(fs)
	set := func(key, path string) error {
		if path, err = held.short(path, maxOption); err != nil {
			return err
		}
		if err := unix.FsconfigSetString(fs, key, path); err != nil {
			return overlayError(fs, key+"="+path, err)
		}
		return nil
	}
	if err := set("source", overlaySource); err != nil {
		return nil, err
	}
	for _, dir := range o.Lower {
		if err := set("lowerdir+", dir); err != nil {
			return nil, err
		}
	}
	if o.Upper != "" {
		if err := errors.Join(set("upperdir", o.Upper), set("workdir", o.Work)); err != nil {
			return nil, err
		}
	}
	for _, flag := range o.flags() {
		key, value, valued := strings.Cut(flag, "=")
		if valued {
			err = unix.FsconfigSetString(fs, key, value)
		} else {
			err = unix.FsconfigSetFlag(fs, key)
		}
		if err != nil {
			return nil, overlayError(fs, flag, err)
		}
	}
	if err := retryEINTR(func() error { return unix.FsconfigCreate(fs) }); err != nil {
		return nil, overlayError(fs, "create", err)
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return nil, overlayError(fs, "fsmount", err)
	}
	return os.NewFile(uintptr(mnt), "overlay"), nil
}

// flags are the options that are not directories. The index would forbid to use
// one upper directory twice even in turn, and hard links in it break only for
// lower files, as everywhere with overlay before 4.13.
func (o Overlay) flags() []string {
	flags := []string{"index=off"}
	if o.UserXattr {
		flags = append(flags, "userxattr")
	}
	if o.Volatile && o.Upper != "" {
		flags = append(flags, "volatile")
	}
	return flags
}

// overlayError adds what the kernel wrote into the context's log.
func overlayError(fs int, option string, err error) error {
	buf := make([]byte, 512)
	n, _ := unix.Read(fs, buf)
	if n > 0 {
		return fmt.Errorf("mount overlay: %s: %w (%s)", option, err, strings.TrimSpace(string(buf[:n])))
	}
	return fmt.Errorf("mount overlay: %s: %w", option, err)
}

// mountOverlayPage is for kernels before 6.8: all options in one page, so the
// directories are named by their short paths below /proc/self/fd.
func mountOverlayPage(o Overlay) (*os.File, error) {
	var held heldDirs
	defer held.close()
	lower := make([]string, len(o.Lower))
	var err error
	for i, dir := range o.Lower {
		if lower[i], err = held.short(dir, 0); err != nil {
			return nil, err
		}
	}
	options := append(o.flags(), "lowerdir="+strings.Join(lower, ":"))
	if o.Upper != "" {
		upper, uerr := held.short(o.Upper, 0)
		work, werr := held.short(o.Work, 0)
		if err := errors.Join(uerr, werr); err != nil {
			return nil, err
		}
		options = append(options, "upperdir="+upper, "workdir="+work)
	}
	if err := os.Mkdir(o.Scratch, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if err := Mount(overlaySource, o.Scratch, "overlay", unix.MS_NODEV, strings.Join(options, ",")); err != nil {
		return nil, err
	}
	return Detach(o.Scratch)
}

// heldDirs gives directories short names that are valid until close.
type heldDirs []*os.File

// short returns path if it has at most limit bytes, else a name below /proc. The
// kernel takes backslashes out of some options, so such a path counts as too long.
func (h *heldDirs) short(path string, limit int) (string, error) {
	if len(path) <= limit && !strings.Contains(path, `\`) {
		return path, nil
	}
	f, err := openTreeRoot(path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return "", err
	}
	*h = append(*h, f)
	return fmt.Sprintf("/proc/self/fd/%d", f.Fd()), nil
}

func (h *heldDirs) close() {
	for _, f := range *h {
		f.Close()
	}
}

// CloneDir returns a detached mount of the directory at path (open_tree(2),
// OPEN_TREE_CLONE): what "mount --bind" would show, attached nowhere.
func CloneDir(path string) (*os.File, error) { return cloneDir(path, 0) }

// CloneDirs is CloneDir with everything that is mounted below path.
func CloneDirs(path string) (*os.File, error) { return cloneDir(path, unix.AT_RECURSIVE) }

func cloneDir(path string, flags uint) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, flags|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Detach takes the mount at path away from its place, into the descriptor.
func Detach(path string) (*os.File, error) {
	f, err := CloneDir(path)
	if err != nil {
		return nil, errors.Join(err, lazyUnmount(path))
	}
	if err := lazyUnmount(path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func lazyUnmount(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return &os.PathError{Op: "umount", Path: path, Err: err}
	}
	return nil
}
