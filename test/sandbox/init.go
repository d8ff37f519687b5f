package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/nook-containers/nook/test/machine"
)

// InitName as argv[0] makes a program that imports this package process 1 of a
// sandbox: it must then call Init.
const InitName = "nook-sandbox-init"

// setup is what process 1 is told. Paths are the host's.
type setup struct {
	Root, Notify, Payload, Console string
	Images                         []string // shown at the same path
}

// Init sets a sandbox up in this process, the first of its namespaces, and
// becomes systemd. It returns only what went wrong.
func Init() error {
	runtime.LockOSThread() // the cgroup namespace is the thread's
	var s setup
	if err := json.Unmarshal([]byte(os.Args[1]), &s); err != nil {
		return err
	}
	// Not earlier: the root of the namespace is the cgroup of who makes it.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("cgroup namespace: %w", err)
	}
	for _, step := range []func() error{s.mountAll, s.pivot, dropCapabilities} {
		if err := step(); err != nil {
			return err
		}
	}
	// container= stops systemd from setting up hardware, clock and console.
	env := []string{"container=nook-sandbox", "NOTIFY_SOCKET=/run/host/notify", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "TERM=dumb"}
	return fmt.Errorf("systemd: %w", unix.Exec("/usr/lib/systemd/systemd", []string{"systemd", "--system", "--show-status=true"}, env))
}

type mountStep struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

// mountAll mounts the system's file systems below the new root. Nothing lies on
// top of /proc or /sys beside empty directories: the kernel lets a user namespace
// mount these two only if its own are to be seen in full.
func (s setup) mountAll() error {
	const safe = unix.MS_NOSUID | unix.MS_NODEV
	steps := []mountStep{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{s.Root, s.Root, "", unix.MS_BIND, ""},
		{"proc", s.Root + "/proc", "proc", safe | unix.MS_NOEXEC, ""},
		{"sysfs", s.Root + "/sys", "sysfs", safe | unix.MS_NOEXEC | unix.MS_RDONLY, ""},
		{"cgroup2", s.Root + "/sys/fs/cgroup", "cgroup2", safe | unix.MS_NOEXEC, ""},
		{"tmpfs", s.Root + "/run", "tmpfs", safe, "mode=755"},
		{"tmpfs", s.Root + "/tmp", "tmpfs", safe, "mode=1777"},
		{"tmpfs", s.Root + "/dev", "tmpfs", unix.MS_NOSUID, "mode=755"},
		{"devpts", s.Root + "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5"},
		{"tmpfs", s.Root + "/dev/shm", "tmpfs", safe, "mode=1777"},
	}
	for _, m := range steps {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	for _, dev := range []string{"null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun"} {
		if err := s.show("/dev/"+dev, "/dev/"+dev); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for name, to := range map[string]string{"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, filepath.Join(s.Root, "dev", name)); err != nil {
			return err
		}
	}
	return s.showRest()
}

func (s setup) showRest() error {
	for from, to := range map[string]string{s.Console: "/dev/console", s.Notify: "/run/host/notify"} {
		if err := s.show(from, to); err != nil {
			return err
		}
	}
	for _, dir := range append([]string{s.Payload}, s.Images...) {
		to := dir
		if dir == s.Payload {
			to = machine.Dir
		}
		if err := s.show(dir, to); err != nil {
			return err
		}
		if err := unix.Mount("", s.Root+to, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
			return fmt.Errorf("mount %s read-only: %w", to, err)
		}
	}
	return nil
}

// show binds a file or directory of the host to a path in the sandbox.
func (s setup) show(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	to = s.Root + to
	if info.IsDir() {
		err = os.MkdirAll(to, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
		err = os.WriteFile(to, nil, 0o644)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", from, err)
	}
	return nil
}

// pivot makes Root the root, and the host's unreachable.
func (s setup) pivot() error {
	if err := unix.Chdir(s.Root); err != nil {
		return err
	}
	// The old root lands on top of the new one (pivot_root(2)) and goes.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the host's root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "") // as at boot
}

// dropCapabilities gives up, for good, what reaches beyond the namespaces.
func dropCapabilities() error {
	for _, c := range []uintptr{
		unix.CAP_SYS_MODULE, unix.CAP_SYS_TIME, unix.CAP_SYS_RAWIO, unix.CAP_SYS_BOOT, unix.CAP_MKNOD, unix.CAP_SYSLOG,
		unix.CAP_MAC_ADMIN, unix.CAP_MAC_OVERRIDE, unix.CAP_AUDIT_CONTROL, unix.CAP_WAKE_ALARM, unix.CAP_BLOCK_SUSPEND,
	} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}
