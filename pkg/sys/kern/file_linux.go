package kern

import (
	"errors"

	"golang.org/x/sys/unix"
)

// How a path below a root may be resolved (openat2(2)).
const (
	// InRoot treats the directory as "/": absolute links and ".." stay inside.
	// Links of procfs that name objects directly are refused.
	InRoot = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS
	// NoLinks is InRoot without following any symbolic link.
	NoLinks = InRoot | unix.RESOLVE_NO_SYMLINKS
	// SameFS stays below the directory and on its file system, for procfs.
	SameFS = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS
)

// Open calls open(2) with close-on-exec.
func Open(path string, flags int, mode uint32) (int, error) {
	return retryFD(func() (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, mode) })
}

// OpenIn opens path below dir. A rename race makes the kernel answer EAGAIN;
// it is retried a few times, so that a hostile racer can't hold us for ever.
func OpenIn(dir int, path string, flags int, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: resolve}
	for try := 0; ; try++ {
		fd, err := unix.Openat2(dir, path, &how)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) && try < 128 {
			continue
		}
		return fd, err
	}
}

// CreateIn makes a new regular file called name, one path component, in dir.
func CreateIn(dir int, name string, mode uint32) (int, error) {
	return retryFD(func() (int, error) {
		return unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_WRONLY|unix.O_CLOEXEC, mode)
	})
}

// MkdirIn makes the directory name, one path component, in dir.
func MkdirIn(dir int, name string, mode uint32) error { return unix.Mkdirat(dir, name, mode) }

// SymlinkIn makes the symbolic link name in dir.
func SymlinkIn(target string, dir int, name string) error { return unix.Symlinkat(target, dir, name) }

// UnlinkIn removes the non-directory name in dir.
func UnlinkIn(dir int, name string) error { return unix.Unlinkat(dir, name, 0) }

// ReadlinkIn returns the target of the symbolic link name in dir.
func ReadlinkIn(dir int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// MknodIn makes a device node and gives it exactly mode.
func MknodIn(dir int, name string, mode uint32, dev uint64) error {
	if err := unix.Mknodat(dir, name, mode, int(dev)); err != nil {
		return err
	}
	return unix.Fchmodat(dir, name, mode&0o7777, 0)
}

// Chown changes the owner of what fd refers to; -1 leaves an id alone.
func Chown(fd, uid, gid int) error {
	return Retry(func() error { return unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH) })
}

// Stat is fstat(2), which also works on O_PATH descriptors.
func Stat(fd int) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := Retry(func() error { return unix.Fstat(fd, &st) })
	return st, err
}

// StatIn describes name in dir without following a final symbolic link.
func StatIn(dir int, name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := Retry(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, err
}

// FSMagic returns the magic number of the file system that fd is on.
func FSMagic(fd int) (int64, error) {
	var st unix.Statfs_t
	err := Retry(func() error { return unix.Fstatfs(fd, &st) })
	return int64(st.Type), err //nolint:unconvert // 32 bits wide on some architectures
}

// MountID returns the id of the mount that fd is on.
func MountID(fd int) (uint64, error) {
	var st unix.Statx_t
	err := Retry(func() error { return unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st) })
	return st.Mnt_id, err
}

// IsDir reports whether an st_mode is that of a directory.
func IsDir(mode uint32) bool { return mode&unix.S_IFMT == unix.S_IFDIR }

// IsCharDevice reports whether an st_mode is that of a character device.
func IsCharDevice(mode uint32) bool { return mode&unix.S_IFMT == unix.S_IFCHR }

// IsFIFO reports whether an st_mode is that of a fifo.
func IsFIFO(mode uint32) bool { return mode&unix.S_IFMT == unix.S_IFIFO }

// IsSymlink reports whether an st_mode is that of a symbolic link.
func IsSymlink(mode uint32) bool { return mode&unix.S_IFMT == unix.S_IFLNK }

// IsRegular reports whether an st_mode is that of a regular file.
func IsRegular(mode uint32) bool { return mode&unix.S_IFMT == unix.S_IFREG }

// Mkdev composes a device number.
func Mkdev(major, minor uint32) uint64 { return unix.Mkdev(major, minor) }

// ReadAll reads the file fd from its start to its end, at most limit bytes.
func ReadAll(fd, limit int) ([]byte, error) {
	st, err := Stat(fd)
	if err != nil {
		return nil, err
	}
	if st.Size > int64(limit) {
		return nil, unix.EFBIG
	}
	buf := make([]byte, st.Size)
	for n := 0; n < len(buf); {
		m, err := unix.Pread(fd, buf[n:], int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if m == 0 {
			return buf[:n], nil
		}
		n += m
	}
	return buf, nil
}

// CopyAll copies what is left of the file from to the file to (sendfile(2)).
func CopyAll(to, from int) error {
	const chunk = 1 << 30 // bytes; less than what one call takes
	for {
		n, err := unix.Sendfile(to, from, nil, chunk)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
	}
}

// WriteIn writes s in one write(2) to the existing file path of the procfs
// that dir is the root of, whatever is mounted on or linked from that path.
func WriteIn(dir int, path, s string) error {
	fd, err := OpenIn(dir, path, unix.O_WRONLY, SameFS)
	if err != nil {
		return err
	}
	defer Close(fd)
	return Retry(func() error {
		_, err := unix.Write(fd, []byte(s))
		return err
	})
}

// Fchdir makes the directory fd the working directory.
func Fchdir(fd int) error { return Retry(func() error { return unix.Fchdir(fd) }) }

// Chdir makes path the working directory.
func Chdir(path string) error { return Retry(func() error { return unix.Chdir(path) }) }

// Umask sets the mode bits that new files don't get.
func Umask(mask uint32) { unix.Umask(int(mask)) }

// Getcwd names the working directory. The answer does not begin with "/" when
// that is out of reach of the process's root (getcwd(2)).
func Getcwd() (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Getcwd(buf)
	if err != nil || n < 1 {
		return "", err
	}
	return string(buf[:n-1]), nil
}

// CloexecFrom marks every descriptor from first on close-on-exec.
func CloexecFrom(first uint) error {
	return unix.CloseRange(first, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC)
}

// Dup gives fd a second number, at least min, with close-on-exec.
func Dup(fd, min int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, min) }

// DupTo makes number to refer to what fd does, surviving execve.
func DupTo(fd, to int) error {
	if fd == to {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		return err
	}
	return Retry(func() error { return unix.Dup3(fd, to, 0) })
}

// DupToCloexec is DupTo with close-on-exec.
func DupToCloexec(fd, to int) error {
	if fd == to {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
		return err
	}
	return Retry(func() error { return unix.Dup3(fd, to, unix.O_CLOEXEC) })
}

// FileInfo is struct stat.
type FileInfo = unix.Stat_t

// ChownIn changes the owner of name in dir, not following a link; of dir itself
// where name is "".
func ChownIn(dir int, name string, uid, gid int) error {
	return Retry(func() error {
		return unix.Fchownat(dir, name, uid, gid, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
	})
}

// ChmodIn changes the mode of name in dir, which is no link; of dir itself where
// name is "".
func ChmodIn(dir int, name string, mode uint32) error {
	if name != "" {
		return unix.Fchmodat(dir, name, mode, 0)
	}
	err := unix.Fchmod(dir, mode)
	if errors.Is(err, unix.EBADF) { // a directory opened with O_PATH
		err = unix.Fchmodat(dir, ".", mode, 0)
	}
	return err
}

// SetTimes sets the access and modification times of name in dir, of dir itself
// where name is "", to those of st.
func SetTimes(dir int, name string, st *FileInfo) error {
	return unix.UtimesNanoAt(dir, name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
}
