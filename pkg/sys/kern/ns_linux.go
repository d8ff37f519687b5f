package kern

import (
	"golang.org/x/sys/unix"
)

// Namespace flags of clone(2) and setns(2).
const (
	NewMount  = unix.CLONE_NEWNS
	NewPID    = unix.CLONE_NEWPID
	NewNet    = unix.CLONE_NEWNET
	NewIPC    = unix.CLONE_NEWIPC
	NewUTS    = unix.CLONE_NEWUTS
	NewUser   = unix.CLONE_NEWUSER
	NewCgroup = unix.CLONE_NEWCGROUP
	NewTime   = unix.CLONE_NEWTIME
)

// Setns moves the calling thread into the namespace of fd. A mount namespace
// wants a thread that shares its working directory with no other, so the thread
// is made so first.
func Setns(fd, nstype int) error {
	if nstype == NewMount {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
	}
	return Retry(func() error { return unix.Setns(fd, nstype) })
}

// Unshare moves the calling thread into new namespaces.
func Unshare(flags uintptr) error { return unix.Unshare(int(flags)) }

// Sethostname changes the uts namespace's host name.
func Sethostname(name string) error { return unix.Sethostname([]byte(name)) }

// Setdomainname changes the uts namespace's NIS domain name.
func Setdomainname(name string) error { return unix.Setdomainname([]byte(name)) }

// LoopbackUp sets the interface "lo" of the network namespace up.
func LoopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr)
}

// UnshareMounts gives the calling thread, and no other, a mount namespace of its
// own. The thread is no use to the Go runtime after that: lock it and let it end.
func UnshareMounts() error { return unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS) }
