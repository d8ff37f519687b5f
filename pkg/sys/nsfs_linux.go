package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// UserNSOwner returns the uid, as seen from here, of the user who made the user
// namespace that f is open on (NS_GET_OWNER_UID, ioctl_nsfs(2)).
func UserNSOwner(f *os.File) (uid uint32, err error) {
	err = retryEINTR(func() (err error) {
		uid, err = unix.IoctlGetUint32(int(f.Fd()), unix.NS_GET_OWNER_UID)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ioctl NS_GET_OWNER_UID %s: %w", f.Name(), err)
	}
	return uid, nil
}

// UserNSParent opens the user namespace above the one that f is open on, or
// above whatever other namespace f is: its owner (NS_GET_USERNS). EPERM means
// that it is out of this process's sight.
func UserNSParent(f *os.File) (*os.File, error) {
	var fd int
	err := retryEINTR(func() (err error) {
		fd, err = unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ioctl NS_GET_USERNS %s: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), "parent of "+f.Name()), nil
}

// PIDNSParent opens the pid namespace above the one that f is open on
// (NS_GET_PARENT, ioctl_nsfs(2)). EPERM means that there is none in sight.
func PIDNSParent(f *os.File) (*os.File, error) {
	var fd int
	err := retryEINTR(func() (err error) {
		fd, err = unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_PARENT)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ioctl NS_GET_PARENT %s: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), "parent of "+f.Name()), nil
}
