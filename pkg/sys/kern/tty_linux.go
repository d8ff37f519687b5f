package kern

import (
	"golang.org/x/sys/unix"
)

// DevptsMagic and the others are file system magic numbers (statfs(2)).
const (
	DevptsMagic  = unix.DEVPTS_SUPER_MAGIC
	ProcMagic    = unix.PROC_SUPER_MAGIC
	SysfsMagic   = unix.SYSFS_MAGIC
	TmpfsMagic   = unix.TMPFS_MAGIC
	Cgroup2Magic = unix.CGROUP2_SUPER_MAGIC
)

// PtyPeer unlocks the pty of master and opens its other end without going
// through any path (ioctl_tty(2), TIOCGPTPEER).
func PtyPeer(master int) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, err
	}
	return retryFD(func() (int, error) {
		fd, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER,
			unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
		return int(fd), errnoErr(e)
	})
}

// SetWinsize sets the size of a terminal, in characters.
func SetWinsize(fd int, rows, cols uint16) error {
	return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
}

// Setsid starts a session.
func Setsid() error {
	_, err := unix.Setsid()
	return err
}

// SetControllingTTY gives this process's session the terminal fd.
func SetControllingTTY(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCSCTTY, 0) }

// IsTTY reports whether fd is a terminal.
func IsTTY(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}
