// Package sandbox boots a machine in namespaces, as fast as a container starts:
// systemd with its buses, sessions, user managers and journal. Its kernel is the
// host's, and so are the cgroup controllers: whatever the host has given to v1 is
// missing. It needs root.
//
// Theory of operation. The root of a Debian system is unpacked afresh into a
// directory. A child in new namespaces and in a cgroup of its own makes that its
// root with pivot_root (in a chroot nobody can make user namespaces), mounts what
// a system expects to find, gives up the capabilities that would reach the host,
// and becomes systemd. That tells by $NOTIFY_SOCKET when it has booted. Commands
// enter by nsenter. When process 1 ends, so does every process of the sandbox,
// and each mount was visible in there alone: a directory and a cgroup are left to
// be removed. The host's v1 hierarchies are never touched.
package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nook-containers/nook/test/machine"
)

const (
	bootLimit = 2 * time.Minute
	offLimit  = 2 * time.Minute
)

// sigPoweroff tells systemd to shut down: SIGRTMIN+4 (systemd(1)).
const sigPoweroff = syscall.Signal(34 + 4)

// Sandbox is a machine in namespaces.
type Sandbox struct {
	dir     *machine.WorkDir // root/ and notify
	setup   setup
	cgroup  string
	console *console

	init *exec.Cmd
	done chan struct{} // closed when init has ended
}

// Boot starts a sandbox with the payload in a directory.
func Boot(ctx context.Context, payload string) (_ *Sandbox, err error) {
	if os.Getuid() != 0 {
		return nil, errors.New("a sandbox needs root; scripts marked for a VM too run without: make vm")
	}
	s := &Sandbox{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.dir, err = machine.MakeDir(machine.Sandbox, sweepCgroup); err != nil {
		return s, err
	}
	s.setup = setup{Root: filepath.Join(s.dir.Path, "root"), Notify: filepath.Join(s.dir.Path, "notify"), Payload: payload}
	if s.setup.Images, err = images(payload); err != nil {
		return s, err
	}
	if err := unpack(ctx, filepath.Join(payload, "machine", "root.tar"), s.setup.Root); err != nil {
		return s, err
	}
	if s.cgroup, err = makeCgroup(filepath.Base(s.dir.Path)); err != nil {
		return s, err
	}
	if s.console, err = openConsole(); err != nil {
		return s, err
	}
	s.setup.Console = s.console.slave
	return s, s.start(ctx)
}

// images are the directories that links in the payload lead to.
func images(payload string) ([]string, error) {
	links, err := filepath.Glob(filepath.Join(payload, "lab", "*"))
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, l := range links {
		dir, err := filepath.EvalSymlinks(l)
		if err != nil {
			return nil, err
		}
		if dir != l {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

// unpack leaves out the kernel, and masks what would configure the host's.
func unpack(ctx context.Context, tarball, root string) error {
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "tar", "-C", root, "--numeric-owner", "--exclude=./dev/*", "--exclude=./boot", "--exclude=./usr/lib/modules", "-xpf", tarball)
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("unpack %s: %w: %s", tarball, err, msg)
	}
	for _, unit := range []string{"systemd-sysctl.service", "systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "systemd-udevd.service"} {
		if err := os.Symlink("/dev/null", filepath.Join(root, "etc/systemd/system", unit)); err != nil {
			return err
		}
	}
	return os.Chmod(root, 0o755)
}

// start boots what is on disk.
func (s *Sandbox) start(ctx context.Context) error {
	_ = os.Remove(s.setup.Notify)
	ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.setup.Notify, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer ready.Close()
	setup, err := json.Marshal(s.setup)
	if err != nil {
		return err
	}
	cgroup, err := os.Open(s.cgroup)
	if err != nil {
		return err
	}
	defer cgroup.Close()
	said, err := os.Create(filepath.Join(s.dir.Path, "init.log"))
	if err != nil {
		return err
	}
	defer said.Close()
	s.init = &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{InitName, string(setup)}, Env: []string{}, Stdout: said, Stderr: said,
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
			// Whoever kills the tests kills process 1, and that kills the rest.
			Pdeathsig: syscall.SIGKILL, Setsid: true, UseCgroupFD: true, CgroupFD: int(cgroup.Fd()),
		},
	}
	if err := s.init.Start(); err != nil {
		return fmt.Errorf("start process 1: %w", err)
	}
	s.done = make(chan struct{})
	go func() {
		_ = s.init.Wait() // its status says nothing that the console doesn't
		close(s.done)
	}()
	if err := s.booted(ctx, ready); err != nil {
		text, _ := os.ReadFile(said.Name())
		return fmt.Errorf("%w\n%s%s", err, text, s.Console())
	}
	return nil
}

// booted waits for systemd's word (sd_notify(3)).
func (s *Sandbox) booted(ctx context.Context, ready *net.UnixConn) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	word := make(chan struct{})
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := ready.Read(buf)
			if err != nil {
				return // closed: nobody waits any more
			}
			if slices.Contains(strings.Split(string(buf[:n]), "\n"), "READY=1") {
				close(word)
				return
			}
		}
	}()
	select {
	case <-word:
		return nil
	case <-s.done:
		return errors.New("systemd ended while it booted")
	case <-ctx.Done():
		return fmt.Errorf("systemd did not boot: %w", ctx.Err())
	}
}

// Run runs c in a login session.
func (s *Sandbox) Run(ctx context.Context, c machine.Command) (int, error) {
	args := append([]string{"-t", strconv.Itoa(s.init.Process.Pid), "-m", "-u", "-i", "-n", "-p", "-C", "--"}, machine.Session(c)...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	cmd.Stdout, cmd.Stderr = c.Out, c.Err
	cmd.WaitDelay = 10 * time.Second // for whoever holds the streams on
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() && ctx.Err() == nil {
		return exit.ExitCode(), nil
	}
	return 0, errors.Join(err, ctx.Err())
}

// Reboot shuts down in order, and boots again.
func (s *Sandbox) Reboot(ctx context.Context) error {
	if err := s.poweroff(); err != nil {
		return err
	}
	return s.start(ctx)
}

// Renew is not for a sandbox: it runs on the kernel that the tests run on.
func (s *Sandbox) Renew(context.Context) error { return machine.ErrEnded }

func (s *Sandbox) poweroff() error {
	if err := s.init.Process.Signal(sigPoweroff); err != nil {
		return fmt.Errorf("power off: %w", err)
	}
	select {
	case <-s.done:
		return nil
	case <-time.After(offLimit):
		return fmt.Errorf("still not off after %v:\n%s", offLimit, s.Console())
	}
}

// Close powers the sandbox off and removes it.
func (s *Sandbox) Close() error {
	var errs []error
	if s.done != nil {
		select {
		case <-s.done:
		default:
			if err := s.poweroff(); err != nil {
				errs = append(errs, err, s.init.Process.Kill())
				<-s.done
			}
		}
	}
	if s.console != nil {
		s.console.close()
	}
	if s.cgroup != "" {
		errs = append(errs, removeCgroup(s.cgroup))
	}
	if s.dir != nil {
		errs = append(errs, s.dir.Remove())
	}
	return errors.Join(errs...)
}

// Console is what systemd wrote to its console.
func (s *Sandbox) Console() string {
	if s.console == nil {
		return ""
	}
	return s.console.String()
}

// console is a terminal whose text is kept.
type console struct {
	master *os.File
	slave  string
	mu     sync.Mutex
	text   strings.Builder
}

func openConsole() (*console, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	c := &console{master: master}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		master.Close()
		return nil, fmt.Errorf("console: %w", err)
	}
	c.slave = "/dev/pts/" + strconv.Itoa(n)
	keep, err := os.OpenFile(c.slave, os.O_RDWR|unix.O_NOCTTY, 0) // without a writer the master would report EIO
	if err != nil {
		master.Close()
		return nil, err
	}
	go func() {
		defer keep.Close()
		_, _ = io.Copy(c, master) // until close
	}()
	return c, nil
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

func (c *console) close() { c.master.Close() }
