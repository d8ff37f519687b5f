package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// SyncFS makes everything written so far to the file system of dir durable
// (syncfs(2)). Since Linux 5.8 it also reports errors of earlier writes.
func SyncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := retryEINTR(func() error { return unix.Syncfs(int(f.Fd())) }); err != nil {
		return &os.PathError{Op: "syncfs", Path: dir, Err: err}
	}
	return nil
}

// Space returns how many bytes and files an ordinary user can still add to the
// file system of f (statfs(2)). Some file systems count no files; they have all.
func Space(f *os.File) (bytes, files uint64, err error) {
	var st unix.Statfs_t
	if err := retryEINTR(func() error { return unix.Fstatfs(int(f.Fd()), &st) }); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: f.Name(), Err: err}
	}
	files = st.Ffree
	if st.Files == 0 {
		files = ^uint64(0)
	}
	return st.Bavail * uint64(st.Bsize), files, nil //nolint:gosec // a block size is positive
}

// CloneFile makes dst share the data of src, without copying (ioctl_ficlone(2)).
// It fails where the file system cannot, or where the two are on different ones.
func CloneFile(dst, src *os.File) error {
	return unix.IoctlFileClone(int(dst.Fd()), int(src.Fd()))
}

// Allocate gives f size bytes of space that are its own (fallocate(2)). A size of
// zero allocates nothing.
func Allocate(f *os.File, size int64) error {
	if size <= 0 {
		return nil
	}
	if err := retryEINTR(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) }); err != nil {
		return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
	}
	return nil
}
