package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/cleanup"
	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/oci/seccomp"
	"github.com/nook-containers/nook/pkg/oci/seed"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// Target is a running container to enter.
type Target struct {
	PID   int      // its first process, as the caller sees it
	Pidfd *os.File // of that process; what decides if the pid goes to another one

	// Cgroup is a cgroup v2 directory that the command is born in; nil: ours.
	Cgroup *os.File

	// KillWithParent is that of Config: the kernel kills the command when the
	// thread that calls Enter ends.
	KillWithParent bool
}

// ErrEnded means that the container's first process has ended, and with it the
// namespaces that were to be entered.
var ErrEnded = errors.New("the container has ended")

var errUsed = errors.New("enter the container: the entrant has been used, or has ended")

// An Entrant is a process inside a running container that waits to be told what
// to run. Used by Exec or not, it must be closed.
//
// It comes from a fork of this process, which needs no privilege where the user
// made the container's user namespace: it joins the namespaces through one pidfd,
// so that they are all of the same process, and runs package stage from a
// read-only mount. Neither the engine nor the container's own files take part.
type Entrant struct {
	init   *Container
	plan   *os.File
	target Target
}

// Enter starts a process in the namespaces of t that are not ours.
func Enter(t Target) (_ *Entrant, err error) {
	if t.KillWithParent {
		runtime.LockOSThread()
	}
	join, err := foreignNamespaces(t)
	if err != nil {
		return nil, err
	}
	fd, err := kern.Memfd("plan", nil)
	if err != nil {
		return nil, fmt.Errorf("make file for the plan: %w", err)
	}
	e := &Entrant{plan: os.NewFile(uintptr(fd), "plan"), target: t}
	ours, theirs, err := kern.SocketPair()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make socket pair: %w", err), e.plan.Close())
	}
	sync := os.NewFile(uintptr(theirs), "sync")
	defer sync.Close()
	pid, err := fork(&sys.NSFork{
		Args: []string{plan.EnterName}, Env: seed.InitEnv(), Cgroup: t.Cgroup, Join: join, Hide: true, Share: true, Ambient: true, EaseTimers: true,
		Files: []*os.File{nil, nil, nil, plan.SyncFD: sync, plan.PlanFD: e.plan},
	})
	if err != nil {
		kern.Close(ours)
		return nil, errors.Join(explainEnter(err), e.plan.Close())
	}
	e.init = &Container{PID: pid, proc: sys.ChildOf(pid), sync: ours}
	return e, nil
}

// fork starts f with our own program, read-only: on a mount if that can be made,
// else as a sealed copy, which costs reading the file.
func fork(f *sys.NSFork) (pid int, err error) {
	f.Path, err = os.Readlink(seed.SelfPath)
	if err != nil {
		return 0, fmt.Errorf("find own program: %w", err)
	}
	f.ReadOnly = true
	pid, err = forkOnce(f)
	if failed, ok := errors.AsType[*sys.NSForkError](err); !ok || !strings.HasPrefix(failed.Step, sys.StepReadOnly) {
		return pid, err
	}
	f.ReadOnly = false
	if f.Program, err = seed.Copy(); err != nil {
		return 0, err
	}
	defer f.Program.Close()
	return forkOnce(f)
}

func forkOnce(f *sys.NSFork) (int, error) {
	c, err := f.Start()
	if err != nil {
		return 0, err
	}
	return c.Executed()
}

func explainEnter(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return ErrEnded
	}
	return fmt.Errorf("enter the container: %w", err)
}

// foreignNamespaces lists the namespaces of t that this process is not in. Those
// that it is in must not be joined again: the kernel refuses the host's. If the pid
// belongs to another process by now, setns(2) of the pidfd finds out.
func foreignNamespaces(t Target) ([]sys.Namespace, error) {
	var join []sys.Namespace
	// The user namespace first, whose capabilities allow the others; the pid
	// namespace last, when nothing is left to be done in sight of the container.
	for _, flag := range []uintptr{
		sys.NewUser, sys.NewMount, sys.NewNet, sys.NewIPC, sys.NewUTS, sys.NewCgroup, sys.NewTime, sys.NewPID,
	} {
		name := "/ns/" + sys.NamespaceName(flag)
		theirs, err := os.Readlink("/proc/" + strconv.Itoa(t.PID) + name)
		if errors.Is(err, os.ErrNotExist) && flag == sys.NewTime {
			continue // a kernel without time namespaces
		}
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			return nil, ErrEnded
		}
		if err != nil {
			return nil, fmt.Errorf("enter the container: %w", err)
		}
		ours, err := os.Readlink("/proc/self" + name)
		if err != nil {
			return nil, err
		}
		if ours != theirs {
			join = append(join, sys.Namespace{File: t.Pidfd, Type: flag})
		}
	}
	return join, nil
}

// PID of the entrant; 0 once it has been used or closed.
func (e *Entrant) PID() int {
	if e.init == nil {
		return 0
	}
	return e.init.PID
}

// Accounts returns the container's /etc/passwd and /etc/group, as they are now: at
// most 16 MiB each, empty where there is none. They are untrusted.
func (e *Entrant) Accounts() (passwd, group []byte, err error) {
	if e.init == nil {
		return nil, nil, errUsed
	}
	if err := e.init.send(plan.Message{Kind: plan.Accounts}); err != nil {
		return nil, nil, e.gone(err)
	}
	m, fds, err := e.init.recv()
	defer func() {
		for _, fd := range fds {
			kern.Close(fd)
		}
	}()
	switch {
	case err != nil:
		return nil, nil, e.gone(err)
	case m.Kind != plan.Accounts || len(fds) != 2:
		return nil, nil, failure(m)
	}
	if passwd, err = kern.ReadAll(fds[0], plan.MaxAccounts); err == nil {
		group, err = kern.ReadAll(fds[1], plan.MaxAccounts)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the container's accounts: %w", err)
	}
	return passwd, group, nil
}

// ExecConfig is a command for a running container.
type ExecConfig struct {
	Process *specs.Process
	Filter  *seccomp.Filter // of its system calls; nil: none

	// These are as in Config.
	Stdin, Stdout, Stderr *os.File
	ExtraFiles            []*os.File
	KeepGroups            bool
}

// Exec turns the entrant into a container's command, up to the point where it
// can start. Its Kill and Wait are about this command alone. Once it has ended it
// must be waited for soon: a container can't end before.
func (e *Entrant) Exec(ctx context.Context, c ExecConfig) (_ *Container, err error) {
	if e.init == nil {
		return nil, errUsed
	}
	l, err := e.launch(&c)
	if err != nil {
		return nil, err
	}
	defer l.close()
	proc := e.init.proc
	stop := context.AfterFunc(ctx, func() { _ = proc.Kill() }) // ends the wait below
	defer stop()
	err = l.brief()
	if err == nil {
		err = e.init.awaitReady(l.cfg)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, e.gone(err)
	}
	ctr := e.init
	e.init = nil
	return ctr, nil
}

// launch is newLaunch for a command without a container to build.
func (e *Entrant) launch(c *ExecConfig) (_ *launch, err error) {
	if errs := checkProcess(c.Process); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	l := &launch{
		cfg: &Config{
			Spec: &specs.Spec{Process: c.Process}, ExtraFiles: c.ExtraFiles, KeepGroups: c.KeepGroups, Filter: c.Filter,
		},
		blueprint: &blueprint{plan: plan.Plan{
			Gate: plan.NoFD, Held: plan.NoFD, SelfProc: plan.NoFD, KillWithParent: e.target.KillWithParent,
		}},
		init: e.init, text: e.plan,
	}
	for _, step := range []func(*Config, *specs.Linux) error{l.process, l.limits, l.settings} {
		if err := step(l.cfg, &specs.Linux{}); err != nil {
			return nil, err
		}
	}
	defer l.undo.RunOnError(&err)
	if l.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	l.undo.Push("close /dev/null", l.null.Close)
	l.files = []*os.File{l.std(c.Stdin), l.std(c.Stdout), l.std(c.Stderr)}
	return l, e.openFiles(l)
}

func (e *Entrant) openFiles(l *launch) error {
	p := &l.blueprint.plan
	if p.OOMScoreAdj != "" || p.Label != nil {
		if err := checkLabels(l.cfg.Spec); err != nil {
			return err
		}
		own, err := os.Open("/proc/" + strconv.Itoa(e.init.PID))
		if err != nil {
			return fmt.Errorf("open the command's directory in /proc: %w", err)
		}
		l.undo.Push("close "+own.Name(), own.Close)
		p.SelfProc = l.give(own)
	}
	l.giveExtra()
	return nil
}

// gone explains why there is no word from the entrant: what kills it without one
// is the end of the container, or somebody's SIGKILL.
func (e *Entrant) gone(err error) error {
	if !errors.Is(err, errGone) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	// The kernel ends the first process of a pid namespace after all others have
	// been waited for, the entrant among them.
	const soon = 200 * time.Millisecond
	if cerr := e.Close(); cerr != nil {
		return cerr
	}
	if sys.Ended(e.target.Pidfd, soon) {
		return ErrEnded
	}
	return errors.New("enter the container: killed on the way")
}

// Close ends an entrant that was not used. It may be called more than once.
func (e *Entrant) Close() error {
	var undo cleanup.Stack
	if e.plan != nil {
		undo.Push("close plan", e.plan.Close)
		e.plan = nil
	}
	if e.init != nil {
		undo.Push("end the entrant", e.init.discard)
		e.init = nil
	}
	return undo.Run()
}
