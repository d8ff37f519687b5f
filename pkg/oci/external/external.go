// Package external runs a container with another OCI runtime: crun, runc, or any
// that has their command line.
//
// Theory of operation: the runtime is a program that sets a container up and
// ends, so the container's init loses its parent. This process makes itself the
// one such orphans go to (prctl(2), PR_SET_CHILD_SUBREAPER), which survives
// execve, and can wait for init as if it had cloned it. The bundle is written
// next to the runtime's own state; a root file system that is a detached mount is
// attached there, which needs a mount namespace of our own.
//
// Cgroups stay ours: the runtime makes none, and is called in the one that the
// container is to be in.
package external

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/oci"
	"github.com/nook-containers/nook/pkg/oci/bundle"
	"github.com/nook-containers/nook/pkg/statefile"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// specVersion is what the bundle is marked as: crun before 1.9 and runc before
// 1.1 refuse one newer than themselves, though they skip what they don't know.
const specVersion = "1.0.2"

// Container is a container that Create had made. It implements oci.Process.
type Container struct {
	*program
	id      string
	args0   string
	pid     int
	console *os.File
	proc    *os.Process
}

var _ oci.Process = (*Container)(nil)

// Create has the runtime at path make the container. stateDir is of this boot
// and this user only; what an earlier container of the same id left there is
// removed. Config.Reaper and Config.Gate are not supported, and
// Config.KillWithParent can't be: whoever calls Create must kill the container
// itself.
func Create(ctx context.Context, path, stateDir string, c oci.Config) (_ *Container, err error) {
	if c.Reaper {
		return nil, errors.New("an init of nook's own needs nook's own runtime")
	}
	if c.Gate != nil {
		return nil, errors.New("a gate needs nook's own runtime")
	}
	if c.Filter != nil && (c.Spec.Linux == nil || c.Spec.Linux.Seccomp == nil) {
		return nil, errors.New("the filter of system calls has no profile, which another runtime compiles itself")
	}
	if err := oci.Validate(c.Spec); err != nil {
		return nil, err
	}
	p, err := newProgram(ctx, path, stateDir, c.ID)
	if err != nil {
		return nil, err
	}
	if err := p.discard(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.discard(context.WithoutCancel(ctx)))
		}
	}()
	if err := p.writeBundle(&c); err != nil {
		return nil, err
	}
	if err := kern.AdoptOrphans(); err != nil {
		return nil, fmt.Errorf("become subreaper: %w", err)
	}
	ctr := &Container{program: p, id: c.ID, args0: c.Spec.Process.Args[0]}
	if err := ctr.create(ctx, &c); err != nil {
		return nil, err
	}
	return ctr, nil
}

// Delete removes what the runtime keeps of a container that has ended, and the
// bundle. A caller that has execve'd since Create calls it after waiting.
func Delete(ctx context.Context, path, stateDir, id string) error {
	p, err := newProgram(ctx, path, stateDir, id)
	if err != nil {
		return err
	}
	return p.discard(ctx)
}

// writeBundle writes the spec with absolute paths and attaches the root.
func (p *program) writeBundle(c *oci.Config) error {
	if err := os.MkdirAll(filepath.Join(p.dir, "rootfs"), 0o700); err != nil {
		return err
	}
	spec := *c.Spec
	spec.Version = specVersion
	root := specs.Root{}
	if spec.Root != nil {
		root = *spec.Root
	}
	if c.Root != nil {
		root.Path = filepath.Join(p.dir, "rootfs")
		if err := kern.AttachAt(int(c.Root.Fd()), root.Path); err != nil {
			return fmt.Errorf("mount root file system on %s: %w", root.Path, err)
		}
	} else if !filepath.IsAbs(root.Path) {
		root.Path = filepath.Join(c.Bundle, root.Path)
	}
	spec.Root = &root
	spec.Mounts = nil
	for i, m := range c.Spec.Mounts {
		if m.Type == "bind" && !filepath.IsAbs(m.Source) {
			m.Source = filepath.Join(c.Bundle, m.Source)
		}
		if tree := c.Trees[filepath.Clean(m.Destination)]; tree != nil && m.Type == "bind" {
			var err error
			if m.Source, err = p.attach(tree, i); err != nil {
				return err
			}
		}
		spec.Mounts = append(spec.Mounts, m)
	}
	data, err := json.Marshal(&spec)
	if err != nil {
		return err
	}
	return bundle.Write(p.dir, data)
}

// attach mounts tree, the source of mount number n, in the bundle.
func (p *program) attach(tree *os.File, n int) (string, error) {
	at := filepath.Join(p.dir, "mount"+strconv.Itoa(n))
	st, err := tree.Stat()
	if err == nil && st.IsDir() {
		err = os.Mkdir(at, 0o700)
	} else if err == nil {
		err = statefile.CreateExclusive(at, nil)
	}
	if err == nil {
		err = kern.AttachAt(int(tree.Fd()), at)
	}
	if err != nil {
		return "", fmt.Errorf("mount on %s: %w", at, err)
	}
	return at, nil
}

func (c *Container) create(ctx context.Context, cfg *oci.Config) error {
	pidFile := filepath.Join(c.dir, "pid")
	args := []string{"create", "--bundle", c.dir, "--pid-file", pidFile}
	var tty *terminal
	if cfg.Spec.Process.Terminal {
		var err error
		if tty, err = listenTerminal(c.dir); err != nil {
			return err
		}
		defer tty.close()
		args = append(args, "--console-socket", tty.path)
	}
	if n := len(cfg.ExtraFiles); n > 0 {
		args = append(args, "--preserve-fds", strconv.Itoa(n))
	}
	cmd := c.command(ctx, append(args, c.id)...)
	cmd.ExtraFiles = cfg.ExtraFiles
	if cfg.Cgroup != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cfg.Cgroup.Fd())}
	}
	if !cfg.Spec.Process.Terminal {
		setStreams(cmd, cfg)
	}
	if err := c.run(cmd); err != nil {
		return c.classify(err)
	}
	if tty != nil {
		var err error
		if c.console, err = tty.receive(); err != nil {
			return err
		}
	}
	data, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	if c.pid, err = strconv.Atoi(strings.TrimSpace(string(data))); err != nil {
		return fmt.Errorf("read %s: %w", pidFile, err)
	}
	c.proc, err = os.FindProcess(c.pid)
	return err
}

// setStreams avoids interfaces that hold a nil *os.File.
func setStreams(cmd *exec.Cmd, cfg *oci.Config) {
	if cfg.Stdin != nil {
		cmd.Stdin = cfg.Stdin
	}
	if cfg.Stdout != nil {
		cmd.Stdout = cfg.Stdout
	}
	if cfg.Stderr != nil {
		cmd.Stderr = cfg.Stderr
	}
}

// Pid implements oci.Process.
func (c *Container) Pid() int { return c.pid }

// Terminal implements oci.Process.
func (c *Container) Terminal() *os.File { return c.console }

// startedAtOnce is how long the runtime may take to start a container that has ended.
// Where it was killed before, crun would wait for ever to be read from.
const startedAtOnce = 5 * time.Second

// Start implements oci.Process.
func (c *Container) Start() error {
	ctx, giveUp := context.WithCancel(c.ctx)
	defer giveUp()
	ended, err := c.ended(ctx)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- c.run(c.command(ctx, "start", c.id)) }()
	select {
	case err := <-done:
		return c.classify(err)
	case <-ended:
	}
	select {
	case err := <-done:
		return c.classify(err)
	case <-time.After(startedAtOnce):
		giveUp()
		if err := <-done; err == nil {
			return nil
		}
		return fmt.Errorf("runtime %s: start: the container has ended before", c.path)
	}
}

// ended is closed when the container's first process has ended, unless ctx ends before.
func (c *Container) ended(ctx context.Context) (<-chan struct{}, error) {
	first, err := sys.PidfdOpen(c.pid)
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer first.Close()
		for ctx.Err() == nil {
			if sys.Ended(first, time.Second/10) {
				close(ended)
				return
			}
		}
	}()
	return ended, nil
}

// Kill implements oci.Process.
func (c *Container) Kill() error {
	if err := c.proc.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill container: %w", err)
	}
	return nil
}

// Wait implements oci.Process. It also removes what the runtime keeps.
func (c *Container) Wait() (syscall.WaitStatus, error) {
	st, err := c.proc.Wait()
	if err != nil {
		return 0, fmt.Errorf("wait for container: %w", err)
	}
	ws, ok := st.Sys().(syscall.WaitStatus)
	if !ok {
		return 0, fmt.Errorf("wait for container: unexpected status %v", st)
	}
	return ws, c.discard(context.WithoutCancel(c.ctx))
}

// classify recognises a command that can't run by what crun and runc say.
func (c *Container) classify(err error) error {
	if err == nil {
		return nil
	}
	const cannotExec, notFound = 126, 127
	msg := strings.ToLower(err.Error())
	about := strings.Contains(msg, strings.ToLower(c.args0)) || strings.Contains(msg, "open executable")
	code := 0
	switch {
	case strings.Contains(msg, "executable file not found"),
		about && strings.Contains(msg, "not found"),
		about && strings.Contains(msg, "no such file or directory"):
		code = notFound
	case about && strings.Contains(msg, "permission denied"),
		about && strings.Contains(msg, "exec format error"),
		about && strings.Contains(msg, "is a directory"):
		code = cannotExec
	default:
		return err
	}
	return &oci.ExecError{Code: code, Path: c.args0, Err: err}
}

// isMissing tells a file that is not there.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
