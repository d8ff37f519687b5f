// Package oci runs OCI bundles: our own runtime.
//
// Theory of operation: Create turns a spec into a plan (package plan; pure),
// clones this program as init into the container's namespaces, and sends it the
// plan. Sow does the cloning ahead of time, so that init starts while the parent
// still looks for the image. Init (package stage) builds the file system,
// becomes the command's user and waits; Start lets it execve. Between the two
// nothing of the container has run.
//
//	parent                          init
//	clone ───────────────────────▶  starts
//	writes id maps, plan;
//	descriptors, "go" ───────────▶  namespaces, mounts, pivot_root, credentials
//	             ◀── "ready" (+pty)
//	"go" ────────────────────────▶  execve
//	             ◀── socket closes, or the reason why not
//
// Init runs from a read-only mount, or a sealed copy, of this program, so that
// nothing in the container can reach a writable one (CVE-2019-5736). It needs
// Linux 5.12, for mount_setattr(2).
package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/oci/seccomp"
	"github.com/nook-containers/nook/pkg/oci/seed"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// Config is one container to start.
type Config struct {
	ID     string
	Spec   *specs.Spec
	Bundle string // absolute; relative paths of Spec are below it

	// Root is a detached mount (fsmount(2), open_tree(2)) to become the root
	// file system; nil: the directory Spec.Root.Path.
	Root *os.File

	// Trees are detached mounts to take for bind mounts of Spec instead of their
	// sources, by destination.
	Trees map[string]*os.File

	// Stdin, Stdout and Stderr of the command; nil: /dev/null. Not used with
	// Spec.Process.Terminal.
	Stdin, Stdout, Stderr *os.File

	// ExtraFiles become descriptors 3 and up of the command.
	ExtraFiles []*os.File

	// KillWithParent makes the kernel kill the container when the thread that
	// calls Create ends, or the process does. Create locks the calling goroutine
	// to its thread for good; a caller that will execve must do it from there.
	KillWithParent bool

	// Reaper puts an init of ours before the command, as pid 1: it passes
	// signals on and collects orphans.
	Reaper bool

	// Pause puts an init of ours in the place of the command: it collects orphans
	// and ends at SIGTERM, SIGINT or SIGHUP.
	Pause bool

	// KeepGroups leaves the caller's supplementary groups to the command.
	KeepGroups bool

	// Cgroup is a cgroup v2 directory that the container is born in; nil: ours.
	Cgroup *os.File

	// Filter is Spec.Linux.Seccomp, compiled by the caller, who may have had time
	// for it; nil: Create compiles it.
	Filter *seccomp.Filter

	// Gate is a listening SOCK_SEQPACKET socket. Where it is set the container
	// is started by StartOver a connection to it, by any process, in place of
	// Start, and outlives this one.
	Gate *os.File

	// Held is kept open by init until the command runs.
	Held *os.File

	// Meanwhile is called while the container's init, whose pid it gets, sets itself
	// up. Its error is Create's, unless init has one of its own.
	Meanwhile func(pid int) error

	// Seed becomes the container where its namespaces are those of Spec and it is
	// in Cgroup; else it is of no use. nil: Create starts an init itself.
	Seed *seed.Seed
}

// Process is a container, whichever runtime made it.
type Process interface {
	// Pid of the container's init, as the caller sees it.
	Pid() int
	// Terminal is the master of the container's terminal, or nil.
	Terminal() *os.File
	// Start lets the command run. An ExecError says that it can't.
	Start() error
	// Wait waits for the container's init to end.
	Wait() (syscall.WaitStatus, error)
	// Kill ends it.
	Kill() error
}

// Container is a container that Create made.
type Container struct {
	PID     int
	Console *os.File // master of the terminal; the caller closes it

	proc *sys.Child
	sync int // socket to init, or plan.NoFD
}

var _ Process = (*Container)(nil)

// ExecError tells that the command can't run. Code is what a shell would exit
// with: 127 where it is not found, 126 where it is not executable or its working
// directory can't be entered.
type ExecError struct {
	Code int
	Path string
	Err  error
}

func (e *ExecError) Error() string { return fmt.Sprintf("run %s: %v", e.Path, e.Err) }
func (e *ExecError) Unwrap() error { return e.Err }

// SetupError is a step of init that failed. Err is the errno where there is
// one, else the text.
type SetupError struct {
	Step, Object, Cause string
	Errno               syscall.Errno
}

func (e *SetupError) Error() string {
	if e.Step == "" {
		return e.Cause
	}
	return fmt.Sprintf("%s: %s: %s", e.Step, e.Object, e.Cause)
}

// Unwrap returns the errno, for errors.Is.
func (e *SetupError) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// Create makes the container up to the point where its command can start:
// namespaces, mounts, credentials and filters are in force. Canceling ctx before
// that kills it. On error nothing is left.
func Create(ctx context.Context, c Config) (_ *Container, err error) {
	if c.KillWithParent {
		runtime.LockOSThread()
	}
	l, err := newLaunch(&c)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if err := l.sow(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.seed.Close()) }()
	ctr := l.init
	stop := context.AfterFunc(ctx, func() { _ = ctr.proc.Kill() }) // ends the wait below
	defer stop()
	if err := l.brief(); err != nil {
		return nil, err
	}
	merr := l.seed.Running() // while init works
	if c.Meanwhile != nil {
		merr = errors.Join(merr, c.Meanwhile(ctr.PID))
	}
	if err := ctr.awaitReady(&c); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	if merr != nil {
		return nil, errors.Join(merr, ctr.closeConsole())
	}
	l.seed.Used()
	if c.Gate != nil {
		ctr.closeSync()
	}
	return ctr, nil
}

// awaitReady listens to init until it is ready, running hooks when asked.
func (c *Container) awaitReady(cfg *Config) error {
	for {
		m, fds, err := c.recv()
		if err != nil {
			return err
		}
		switch m.Kind {
		case plan.Ready:
			if len(fds) > 0 {
				c.Console = os.NewFile(uintptr(fds[0]), "/dev/ptmx")
			}
			return nil
		case plan.Namespaces:
			if err := runtimeHooks(cfg, c.PID); err != nil {
				return err
			}
			if err := c.send(plan.Message{Kind: plan.Go}); err != nil {
				return err
			}
		default:
			return failure(m)
		}
	}
}

// failure turns init's report into an error.
func failure(m plan.Message) error {
	e := &SetupError{Step: m.Step, Object: m.Object, Cause: m.Cause, Errno: syscall.Errno(m.Errno)}
	if m.Exec == 0 {
		return e
	}
	var cause error = e.Errno
	if e.Errno == 0 {
		cause = errors.New(m.Cause)
	}
	if m.Step != "run" {
		cause = fmt.Errorf("%s: %w", m.Step, cause)
	}
	return &ExecError{Code: m.Exec, Path: m.Object, Err: cause}
}

// Pid implements Process.
func (c *Container) Pid() int { return c.PID }

// Terminal implements Process.
func (c *Container) Terminal() *os.File { return c.Console }

// Start lets init execve the command. It returns nil once that has succeeded.
// After an error the container has ended and Wait returns at once.
func (c *Container) Start() error {
	if c.sync == plan.NoFD {
		return errors.New("start container: it has been started already")
	}
	defer c.closeSync()
	return start(c.sync)
}

// StartOver starts a container that was made with a Gate. conn is a connection
// to it.
func StartOver(conn *os.File) error { return start(int(conn.Fd())) }

// Wait waits for init to end and returns its status.
func (c *Container) Wait() (syscall.WaitStatus, error) {
	st, err := c.proc.Wait()
	if err != nil {
		return 0, fmt.Errorf("wait for container: %w", err)
	}
	return st, nil
}

// Kill sends SIGKILL to init, which ends everything in its pid namespace. That
// it has ended already is no error.
func (c *Container) Kill() error {
	if err := c.proc.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill container: %w", err)
	}
	return nil
}

// discard ends a container that was never handed out.
func (c *Container) discard() error {
	c.closeSync()
	err := c.Kill()
	if _, werr := c.Wait(); err == nil {
		err = werr
	}
	return errors.Join(err, c.closeConsole())
}

func (c *Container) closeConsole() error {
	if c.Console == nil {
		return nil
	}
	return c.Console.Close()
}

func (c *Container) closeSync() {
	kern.Close(c.sync)
	c.sync = plan.NoFD
}
