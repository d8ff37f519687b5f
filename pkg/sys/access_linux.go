package sys

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

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

// MayOpen reports whether this process may open path for reading and writing,
// without opening it: to open a device may set it going (access(2)).
func MayOpen(path string) (bool, error) {
	err := retryEINTR(func() error {
		return unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK|unix.W_OK, unix.AT_EACCESS)
	})
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOENT), errors.Is(err, unix.EROFS):
		return false, nil
	}
	return false, fmt.Errorf("faccessat2 %s: %w", path, err)
}
