package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/cleanup"
	"github.com/nook-containers/nook/pkg/oci"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/systemd"
)

// ExecOptions ask for a command in a running container.
type ExecOptions struct {
	Args       []string    `json:"args"`
	Env        []string    `json:"env,omitempty"`     // NAME=VALUE, beside the container's
	WorkDir    string      `json:"workDir,omitempty"` // absolute; empty: the container's
	User       string      `json:"user,omitempty"`    // user[:group], names or numbers; empty: the container's
	TTY        bool        `json:"tty,omitempty"`
	Stdin      bool        `json:"stdin,omitempty"`
	Privileged bool        `json:"privileged,omitempty"` // all capabilities of the container's user namespace
	NoSession  bool        `json:"noSession,omitempty"`  // leave no record for inspect
	Size       attach.Size `json:"size,omitzero"`        // of the terminal
	Probe      bool        `json:"-"`                    // a health check: no events, and signals are for its process group, where the kernel can
	Extra      []*os.File  `json:"-"`                    // become descriptors 3 and up
	Started    func()      `json:"-"`                    // called once the command runs; may be nil
	Cgroups    Cgroups     `json:"-"`
}

func notRunning(c *state.Container) error {
	return problem.Hint(fmt.Errorf("%s: %w", c.Name, ErrNotRunning), "run: nook start %s", c.Name)
}

// execution is one command that joins a container.
type execution struct {
	c       *state.Container
	o       ExecOptions
	id      string
	undo    cleanup.Stack
	record  *execRecord
	proc    *oci.Container
	first   *os.File // pidfd of proc
	streams streams
	late    bool // proc is not in the container's control group yet
}

// Exec runs a command in c for the client of conn, and returns when it has ended
// and the client knows. It works outside of the user's namespace, and waits for
// nobody: neither for the container's monitor nor for a lock.
//
// The command ends with the thread that Exec is called on, and with its process:
// where the client may leave, that is another process than the user's.
func Exec(ctx context.Context, c *state.Container, conn *attach.Conn, o ExecOptions) {
	x := &execution{c: c, o: o, id: NewID()}
	err := x.start(ctx)
	if errors.Is(err, oci.ErrEnded) {
		err = notRunning(c)
	}
	if err != nil {
		err = errors.Join(err, x.undo.Run())
		_ = conn.WriteJSON(attach.Exited, Failure(err)) // a client that is gone needs no answer
		return
	}
	x.serve(conn)
}

func (x *execution) serve(conn *attach.Conn) {
	if x.o.Started != nil {
		x.o.Started()
	}
	x.tell(events.Exec)
	_ = conn.WriteJSON(attach.Started, attach.Start{ID: x.id, PID: x.proc.PID}) // a client that is gone is the hub's matter
	hub := attach.NewHub(x.server())
	client := hub.Serve(conn, attach.Options{Owner: true, NoInput: !x.o.Stdin})
	hub.Start()
	go x.hangUp(client)
	status, err := x.proc.Wait()
	hub.Drained()
	exit := attach.Exit{Code: monitor.ExitCode(status)}
	if err != nil {
		exit = Failure(err)
	}
	if err := x.undo.Run(); err != nil && exit.Error == "" {
		exit.Error = err.Error() // the command's own exit code stays
	}
	x.tell(events.ExecDied, events.ExitCode(exit.Code))
	hub.End(exit)
}

func (x *execution) tell(action string, more ...func(*events.Event)) {
	if !x.o.Probe {
		events.Tell(x.c, action, append(more, events.Attribute("execID", x.id))...)
	}
}

// hangUp tells the command that its user's terminal is gone. Who left on purpose
// goes on having it.
func (x *execution) hangUp(client *attach.Session) {
	<-client.Left()
	if client.Detached() {
		sys.DropProgramPages() // this process may wait for long now
		return
	}
	_ = sys.PidfdSignal(x.first, syscall.SIGHUP) // it may have ended
	_ = sys.PidfdSignal(x.first, syscall.SIGCONT)
}

// start brings the command up to its execve. What it set up is undone by x.undo.
func (x *execution) start(ctx context.Context) error {
	target, err := x.target()
	if err != nil {
		return err
	}
	if !x.o.NoSession {
		held, err := x.c.HoldSession(state.Session{ID: x.id, Command: x.o.Args, User: x.o.User, TTY: x.o.TTY, Started: time.Now()})
		if err != nil {
			return err
		}
		x.undo.Push("forget the session", held.Close)
	}
	e, err := x.enter(ctx, target)
	if err != nil {
		return err
	}
	x.undo.Push("end the entrant", e.Close)
	process, err := x.process(e)
	if err != nil {
		return err
	}
	if x.streams, err = newStreams(spec.Container{TTY: x.o.TTY, OpenStdin: x.o.Stdin}); err != nil {
		return err
	}
	x.undo.Push("close the streams", x.streams.close)
	child := x.streams.child
	x.proc, err = e.Exec(ctx, oci.ExecConfig{
		Process: process, Filter: x.record.filter(), KeepGroups: x.record.KeepGroups, ExtraFiles: x.o.Extra,
		Stdin: child[0], Stdout: child[1], Stderr: child[2],
	})
	if err != nil {
		return err
	}
	x.streams.started(x.proc.Console, x.o.Size)
	if x.first, err = sys.PidfdOpen(x.proc.PID); err != nil { // its own pid: it has not been waited for
		return errors.Join(err, kill(x.proc))
	}
	x.undo.Push("forget the process", x.first.Close)
	if err = x.enterLate(ctx); err == nil {
		err = x.proc.Start()
	}
	if err != nil {
		return errors.Join(err, kill(x.proc))
	}
	return nil
}

// target finds the container's first process, and makes sure that it is that.
func (x *execution) target() (t oci.Target, err error) {
	st, err := x.c.Status()
	if err != nil {
		return t, err
	}
	if st.Word == state.Paused {
		return t, paused(x.c)
	}
	if st.Word != state.Running {
		return t, notRunning(x.c)
	}
	t = oci.Target{PID: st.Run.PID, KillWithParent: true}
	if t.Pidfd, err = sys.PidfdOpen(st.Run.PID); errors.Is(err, syscall.ESRCH) {
		return t, notRunning(x.c)
	} else if err != nil {
		return t, err
	}
	x.undo.Push("forget the container's process", t.Pidfd.Close)
	// The descriptor is of whoever has the pid now. That it is the process of the
	// record can't change afterwards.
	begun, err := state.StartTime(st.Run.PID)
	if err != nil || begun != st.Run.PIDStart {
		return t, notRunning(x.c)
	}
	if x.record, err = readExecRecord(x.c); err != nil {
		return t, err
	}
	if t.Cgroup, err = x.record.cgroup(); err != nil {
		return t, fmt.Errorf("open the container's cgroup: %w", err)
	}
	if t.Cgroup != nil {
		x.undo.Push("close the cgroup", t.Cgroup.Close)
	}
	return t, nil
}

// enter starts a process in the container, in its control group too, unless the group
// has no room for its threads: then it is moved there when it needs one only. Where only
// systemd may move a process there, it is asked to.
func (x *execution) enter(ctx context.Context, t oci.Target) (*oci.Entrant, error) {
	if t.Cgroup != nil {
		room, err := cgroups.HasRoom(x.record.Cgroup, ownThreads)
		if err != nil {
			return nil, x.noEntry(err)
		}
		if x.late = !room; x.late {
			t.Cgroup = nil
		}
	}
	e, err := oci.Enter(t)
	if t.Cgroup == nil || !denied(err) {
		return e, err
	}
	t.Cgroup = nil
	if e, err = oci.Enter(t); err != nil {
		return nil, err
	}
	if err := x.attach(ctx, e.PID()); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// enterLate moves the command into the control group that enter has left it out of.
func (x *execution) enterLate(ctx context.Context) error {
	if !x.late {
		return nil
	}
	err := cgroups.Move(x.record.Cgroup, x.proc.PID)
	if denied(err) {
		return x.attach(ctx, x.proc.PID)
	}
	return err
}

func denied(err error) bool { return errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) }

func (x *execution) noEntry(err error) error {
	return fmt.Errorf("enter the control group of %s: %w", x.c.Name, err)
}

// attach gets a process into the container's group that this one may not move there.
// Where nobody asked for the group, the command may do without.
func (x *execution) attach(ctx context.Context, pid int) error {
	if x.record.Unit == "" {
		if !x.record.Limited {
			return nil
		}
		return problem.Hint(x.noEntry(syscall.EACCES),
			"run the command where the container was started: its control group can't be entered from another session")
	}
	if err := x.askSystemd(ctx, pid); err != nil && x.record.Limited {
		return x.noEntry(err)
	}
	return nil
}

// askSystemd has it move a process of ours into the container's group.
func (x *execution) askSystemd(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, scopeWait)
	defer cancel()
	m, err := systemd.Connect(ctx, x.o.Cgroups.Systemd)
	if err != nil {
		return err
	}
	_, sub, _ := strings.Cut(x.record.Cgroup, "/"+x.record.Unit) // of systemd's own group
	return errors.Join(m.Attach(ctx, x.record.Unit, sub, pid), m.Close())
}

// process is what runs. Another user than the container's is looked up in its
// files as they are now.
func (x *execution) process(e *oci.Entrant) (*specs.Process, error) {
	want := ocispec.Exec{Args: x.o.Args, Env: x.o.Env, WorkDir: x.o.WorkDir, TTY: x.o.TTY, Privileged: x.o.Privileged}
	if x.o.User != "" {
		passwd, group, err := e.Accounts()
		if err != nil {
			return nil, err
		}
		u, err := resolveUser(x.o.User, x.c.Spec.Groups, accounts{passwd: passwd, group: group})
		if err != nil {
			return nil, err
		}
		want.User = &u
	}
	p, err := ocispec.ExecProcess(x.record.Process, ocispec.Input{ID: x.c.ID, Spec: x.c.Spec, Image: x.c.Image}, want)
	if err == nil && x.o.TTY {
		p.ConsoleSize = &specs.Box{Height: uint(x.o.Size.Rows), Width: uint(x.o.Size.Cols)}
	}
	return p, err
}

// server shows the command's streams to a Hub. They end with the command: what it
// left in the background may keep them open, and nobody waits for that.
func (x *execution) server() attach.Container {
	signal := sys.PidfdSignal
	if x.o.Probe {
		signal = sys.PidfdSignalGroup
	}
	c := attach.Container{Signal: func(sig syscall.Signal) error { return signal(x.first, sig) }}
	s := &x.streams
	if s.master != nil {
		c.TTY, c.Stdin, c.Stdout = true, s.master, untilEnd{s.master, x.first}
		c.Resize = func(size attach.Size) error { return sys.SetWindowSize(s.master, size.Rows, size.Cols) }
		return c
	}
	c.Stdout, c.Stderr = untilEnd{s.mine[1], x.first}, untilEnd{s.mine[2], x.first}
	if s.mine[0] != nil {
		c.Stdin = s.mine[0]
	}
	c.CloseOut = func(t attach.Type) error {
		if t == attach.Stderr {
			return s.mine[2].Close()
		}
		return s.mine[1].Close()
	}
	return c
}

type untilEnd struct{ f, process *os.File }

func (u untilEnd) Read(p []byte) (int, error) { return sys.ReadUntil(u.f, u.process, p) }
