package sys

import "golang.org/x/sys/unix"

// Writable reports whether the effective ids may write to path (access(2) with
// AT_EACCESS). The answer can be out of date at once: use it to choose, never to
// protect.
func Writable(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK|unix.X_OK, unix.AT_EACCESS) == nil
}

// WritableFile is Writable for a file that is no directory.
func WritableFile(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS) == nil
}
