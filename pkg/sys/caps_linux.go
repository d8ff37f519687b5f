package sys

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DropInheritable empties the inheritable and ambient capability sets of every
// thread of this process; the permitted and effective sets stay. In a build with
// cgo, as for the race detector, it answers ErrUnsupported: threads of C are out
// of the runtime's reach.
func DropInheritable() error {
	hdr := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(hdr, &data[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	if data[0].Inheritable|data[1].Inheritable == 0 {
		return nil
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0
	// A capability that is not inheritable cannot be ambient: the kernel drops it
	// there too (capabilities(7)).
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(hdr)), uintptr(unsafe.Pointer(&data[0])), 0)
	switch {
	case errno == syscall.ENOTSUP:
		return fmt.Errorf("capset in a build with cgo: %w", ErrUnsupported)
	case errno != 0:
		return fmt.Errorf("capset: %w", errno)
	}
	return nil
}
