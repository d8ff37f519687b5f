package sys

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Attach puts a detached mount on the directory or file that target is open on
// (move_mount(2)), in this process's mount namespace.
func Attach(mnt, target *os.File) error {
	err := retryEINTR(func() error {
		return unix.MoveMount(int(mnt.Fd()), "", int(target.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	})
	if err != nil {
		return &os.PathError{Op: "move_mount", Path: target.Name(), Err: err}
	}
	return nil
}

// Unmount takes the mount at path away, and all below it, whether or not they
// are in use (umount2(2), MNT_DETACH). It reports false where nothing is mounted.
func Unmount(path string) (was bool, err error) {
	err = unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "umount", Path: path, Err: err}
	}
	return true, nil
}

// MakeReadOnly makes the mount read-only whose root f is open on
// (mount_setattr(2)), and not those below it.
func MakeReadOnly(f *os.File) error { return makeReadOnly(f, 0) }

// MakeAllReadOnly is MakeReadOnly with all mounts below.
func MakeAllReadOnly(f *os.File) error { return makeReadOnly(f, unix.AT_RECURSIVE) }

func makeReadOnly(f *os.File, flags uint) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH|flags, &attr); err != nil {
		return &os.PathError{Op: "mount_setattr", Path: f.Name(), Err: err}
	}
	return nil
}

// CloneRootOf returns a detached copy of the mount that is the root of another
// mount namespace, without what is mounted below it. A thread of its own visits
// the namespace and ends there; the rest of the process stays where it is.
func CloneRootOf(mntNS *os.File) (*os.File, error) { return CloneIn(mntNS, "/") }

// CloneIn is CloneRootOf for what path, whose last part is no symbolic link, shows
// in the namespace.
func CloneIn(mntNS *os.File, path string) (tree *os.File, err error) {
	offMainThread(func() {
		// setns(2) wants a thread that shares its root and working directory with no
		// other.
		if err = unix.Unshare(unix.CLONE_FS); err != nil {
			err = os.NewSyscallError("unshare CLONE_FS", err)
			return
		}
		if err = unix.Setns(int(mntNS.Fd()), unix.CLONE_NEWNS); err != nil {
			err = fmt.Errorf("setns %s: %w", mntNS.Name(), err)
			return
		}
		tree, err = cloneDir(path, unix.AT_SYMLINK_NOFOLLOW)
	})
	return tree, err
}

// offMainThread calls do on a thread that ends with it. The main thread cannot
// end, and stands for the process in /proc, so where do would run on it, it is
// kept busy meanwhile.
func offMainThread(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			offMainThread(do)
			runtime.UnlockOSThread()
			return
		}
		do()
	}()
	<-done
}

// MountPoints lists the mount points of this process's mount namespace, in the
// order of /proc/self/mountinfo (proc_pid_mountinfo(5)); one that is mounted on
// twice is there twice.
func MountPoints() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return mountPoints(string(data)), nil
}

func mountPoints(mountinfo string) []string {
	var out []string
	for line := range strings.Lines(mountinfo) {
		if f := strings.Fields(line); len(f) > 4 {
			out = append(out, unescapeOctal(f[4]))
		}
	}
	return out
}

// unescapeOctal undoes the kernel's spelling of blanks and backslashes, as \040.
func unescapeOctal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
