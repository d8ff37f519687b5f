package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// VnetHeaderLen is the length of the header before each frame of a TAP that
// OpenTAP opened: struct virtio_net_hdr (linux/virtio_net.h), ten bytes, little
// endian.
const VnetHeaderLen = 10

// OpenTAP makes the TAP device name in this thread's network namespace, with
// queues descriptors, at least one. Frames carry a virtio header, and the kernel may hand
// over TCP segments of up to 64 KiB and leave checksums to be completed
// (Documentation/networking/tuntap.rst, TUNSETOFFLOAD).
//
// The device ends with its last descriptor. EPERM: no CAP_NET_ADMIN over the
// network namespace. EBUSY: somebody has the name.
func OpenTAP(name string, queues int) ([]*os.File, error) {
	var files []*os.File
	var extra uint16
	if queues > 1 {
		extra = unix.IFF_MULTI_QUEUE
	}
	for range max(queues, 1) {
		f, err := openTAPQueue(name, extra)
		if err != nil {
			for _, f := range files {
				_ = f.Close()
			}
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func openTAPQueue(name string, extra uint16) (*os.File, error) {
	var fd int
	err := retryEINTR(func() (err error) {
		fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	if err := setupTAP(fd, name, extra); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "tap "+name), nil //nolint:gosec // a descriptor
}

func setupTAP(fd int, name string, extra uint16) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("interface name %q: %w", name, err)
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | extra)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return fmt.Errorf("ioctl TUNSETIFF %s: %w", name, err)
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6); err != nil {
		return fmt.Errorf("ioctl TUNSETOFFLOAD %s: %w", name, err)
	}
	return nil
}

// TakeFD closes f and returns another descriptor of the same device or socket, which
// does not block.
func TakeFD(f *os.File) (int, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, fmt.Errorf("fcntl F_DUPFD_CLOEXEC %s: %w", f.Name(), err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("fcntl O_NONBLOCK %s: %w", f.Name(), err)
	}
	if err := f.Close(); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
