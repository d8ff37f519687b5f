package sys

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// AwaitNotice waits until the kernel says that f, a file of cgroupfs that notifies,
// has changed since it was read last (POLLPRI, kernel doc "Control Group v2",
// cgroup.events). It returns os.ErrDeadlineExceeded after wait.
func AwaitNotice(f *os.File, wait time.Duration) error {
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}} //nolint:gosec // a descriptor
	n := 0
	err := retryEINTR(func() (err error) {
		n, err = unix.Poll(fds, int(wait.Milliseconds()))
		return err
	})
	if err == nil && n == 0 {
		err = os.ErrDeadlineExceeded
	}
	if err != nil {
		return fmt.Errorf("wait for a change of %s: %w", f.Name(), err)
	}
	return nil
}

// Notices calls look at once and whenever the kernel says that f, a file of cgroupfs
// that notifies, has changed since look read it (File.ReadAt), until f is closed. It
// needs no thread meanwhile, nor an inotify instance: a user has only so many of
// those, and the runtime's poller takes any file that os.Open opened and poll(2) can
// wait for (kernfs ends an edge-triggered wait of epoll with each change).
func Notices(f *os.File, look func()) error {
	raw, err := f.SyscallConn()
	if err == nil {
		err = raw.Read(func(uintptr) bool { look(); return false })
	}
	if err != nil {
		return fmt.Errorf("wait for changes of %s: %w", f.Name(), err)
	}
	return nil
}

// BlockDevice returns the number of the block device that path is a node of.
func BlockDevice(path string) (major, minor int64, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, 0, &os.PathError{Op: "stat", Path: path, Err: unix.ENOTBLK}
	}
	major, minor = Device(uint64(st.Rdev)) //nolint:unconvert // 32 bits wide on some architectures
	return major, minor, nil
}

// Xattr returns the extended attribute name of path (getxattr(2)), at most 64
// bytes of it; "" where there is none.
func Xattr(path, name string) (string, error) {
	buf := make([]byte, 64)
	n, err := unix.Getxattr(path, name, buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("getxattr %s: %s: %w", name, path, err)
	}
	return string(buf[:n]), nil
}
