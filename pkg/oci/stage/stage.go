// Package stage is what runs inside a container's new namespaces up to execve.
//
// Theory of operation: the parent clones this program into the namespaces with
// argv[0] set to plan.InitName. Run reads the Plan from a descriptor and carries
// it out step by step on the calling thread, which in the end execve's the
// command; no other thread of the Go runtime survives that. Until the command
// runs nothing of the container is trusted and nothing of the host is reachable
// by a name from the container:
//
//   - The root is a descriptor. Every path below it is resolved by the kernel
//     confined to it (openat2 with RESOLVE_IN_ROOT) and what is mounted there is
//     attached to the resulting descriptor, never to a name looked up again.
//   - Sources that must be what they claim (devices, /dev/null for masking) are
//     opened once and checked by fstat before use.
//   - Writes to /proc go through a procfs that no path of the container leads to.
//   - The process is not dumpable, so nothing in the container can trace it or
//     open its descriptors, and its executable lies on a read-only mount.
//
// A failed step goes to the parent as step, object and cause. Init and parent
// run in lockstep over a socket; its closing by execve is the sign of success.
package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/pack"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// StatusFailed is the exit status of an init that could not set the container
// up. The parent has the reason already.
const StatusFailed = 125

// stepError is a failed step. Exec is the exit status when it is the command
// that can't run.
type stepError struct {
	step, object string
	err          error
	exec         int
}

func (e *stepError) Error() string { return e.step + ": " + e.object + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// at names the step and object of a bare errno; an error that already has them
// passes unchanged.
func at(step, object string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*stepError](err); ok {
		return err
	}
	return &stepError{step: step, object: object, err: err}
}

// setup is one run of the stage.
type setup struct {
	plan.Plan
	sync    int  // to the parent; after Start to whoever started us
	selfPID int  // as the host sees it; only where hooks need it
	proc    int  // private procfs, or plan.NoFD until needed
	ownProc bool // proc is a mount of ours, attached nowhere
	rootFD  int
	null    int // detached /dev/null, or plan.NoFD until needed
	mask    int // empty read-only tmpfs, or plan.NoFD until needed
	ptmx    int
	peer    int
	extra   []int // descriptors for the command
	guest   bool  // in a container that runs already
}

// Run is the init stage. The caller has locked the thread. It does not return.
func Run() {
	s := newSetup()
	s.end(s.run(
		s.read, s.enter, s.runtimeHooks, s.kernelNames, s.build, s.limits, s.become, s.wait, s.startHooks,
	))
}

func newSetup() *setup {
	return &setup{
		sync: plan.SyncFD, proc: plan.NoFD, rootFD: plan.NoFD, null: plan.NoFD,
		mask: plan.NoFD, ptmx: plan.NoFD, peer: plan.NoFD,
	}
}

// end reports why the command does not run.
func (s *setup) end(err error) {
	status := StatusFailed
	if e, ok := errors.AsType[*stepError](err); ok && e.exec != 0 {
		status = e.exec
	}
	report(s.sync, err)
	os.Exit(status) //nolint:forbidigo // the process is this stage
}

func report(sock int, err error) {
	m := plan.Message{Kind: plan.Failed, Cause: err.Error()}
	if e, ok := errors.AsType[*stepError](err); ok {
		m.Step, m.Object, m.Cause, m.Exec = e.step, e.object, e.err.Error(), e.exec
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		m.Errno = int(errno)
	}
	_ = send(sock, m) // nobody is left to tell
}

func (s *setup) run(steps ...func() error) error {
	if err := kern.UnblockSignals(); err != nil { // what waits for a monitor does not wait for the command
		return at("set", "signal mask", err)
	}
	for _, f := range steps {
		if err := f(); err != nil {
			return err
		}
	}
	return s.exec()
}

func (s *setup) read() error {
	files, err := s.await()
	if err != nil {
		return err
	}
	data, err := kern.ReadAll(plan.PlanFD, plan.MaxSize)
	if err != nil {
		return at("read", "plan", err)
	}
	kern.Close(plan.PlanFD)
	if err := pack.Unmarshal(data, &s.Plan); err != nil {
		return at("decode", "plan", err)
	}
	return s.adopt(files)
}

// adopt takes the descriptors that came with the messages: the plan names them
// by their position.
func (s *setup) adopt(files []int) error {
	p := &s.Process
	refs := []*int{&s.Gate, &s.Held, &s.SelfProc, &p.SelfFD}
	for i := range s.Join {
		refs = append(refs, &s.Join[i].FD)
	}
	if s.FS != nil {
		refs = append(refs, &s.FS.RootFD)
		for i := range s.FS.Mounts {
			refs = append(refs, &s.FS.Mounts[i].FD)
		}
	}
	for _, fd := range refs {
		if *fd != plan.NoFD {
			*fd = files[*fd]
		}
	}
	s.extra = files[p.ExtraFD : p.ExtraFD+p.Extra]
	for i := range firstExtra {
		if err := kern.DupTo(files[i], i); err != nil {
			return at("open", "standard streams", err)
		}
		kern.Close(files[i])
	}
	return nil
}

// enter completes the namespaces and makes this process their root.
func (s *setup) enter() error {
	if err := kern.SetTimerSlack(s.TimerSlack); err != nil {
		return at("set", "timer slack", err)
	}
	if s.KillWithParent {
		if err := kern.DieWithParent(); err != nil {
			return at("arm", "parent-death signal", err)
		}
	}
	if s.NewUser {
		if err := becomeRoot(); err != nil {
			return err
		}
	}
	if err := kern.HideFromPtrace(); err != nil {
		return at("set", "not dumpable", err)
	}
	if s.needsPID() {
		if err := s.findPID(); err != nil {
			return err
		}
	}
	for _, j := range s.Join {
		if err := kern.Setns(j.FD, j.Type); err != nil {
			return at("join", nsName(j.Type), err)
		}
	}
	if s.Unshare != 0 {
		if err := kern.Unshare(s.Unshare); err != nil {
			return at("create", "namespaces", err)
		}
	}
	if s.TimeOffsets != "" {
		if err := s.writeProc("self/timens_offsets", s.TimeOffsets); err != nil {
			return at("set", "time offsets", err)
		}
	}
	return at("start", "session", kern.Setsid())
}

func becomeRoot() error {
	if err := kern.SetGID(0); err != nil {
		return at("become", "gid 0 of the user namespace", err)
	}
	return at("become", "uid 0 of the user namespace", kern.SetUID(0))
}

func (s *setup) needsPID() bool {
	return len(s.Hooks.CreateContainer)+len(s.Hooks.StartContainer) > 0
}

// findPID asks the host's procfs, still mounted, which pid it gives us.
func (s *setup) findPID() error {
	link, err := kern.ReadlinkIn(kern.AtCwd, "/proc/self")
	if err != nil {
		return at("read", "/proc/self", err)
	}
	s.selfPID, err = strconv.Atoi(link)
	return at("read", "/proc/self", err)
}

func (s *setup) runtimeHooks() error {
	if !s.Hooks.Runtime {
		return nil
	}
	if err := send(s.sync, plan.Message{Kind: plan.Namespaces}); err != nil {
		return at("tell", "parent", err)
	}
	return s.awaitGo()
}

// wait reports that all is done, with the terminal, and waits to be started.
func (s *setup) wait() error {
	var fds []int
	if s.ptmx != plan.NoFD {
		fds = []int{s.ptmx}
	}
	msg, err := json.Marshal(plan.Message{Kind: plan.Ready})
	if err != nil {
		return err
	}
	if err := kern.Send(s.sync, msg, fds...); err != nil {
		return at("tell", "parent", err)
	}
	kern.Close(s.ptmx)
	s.ptmx = plan.NoFD
	if s.Gate == plan.NoFD {
		return s.awaitGo()
	}
	conn, err := kern.Accept(s.Gate)
	if err != nil {
		return at("wait", "to be started", err)
	}
	kern.Close(s.Gate)
	kern.Close(s.sync)
	s.Gate, s.sync = plan.NoFD, conn
	return s.awaitGo()
}

// awaitGo waits for the parent.
func (s *setup) awaitGo() error {
	_, err := s.await()
	return err
}

// await waits for Go and returns the descriptors that came before. Without the
// parent there is nothing left to do: that it may have died before the
// parent-death signal was armed makes this necessary.
func (s *setup) await() (files []int, err error) {
	buf := make([]byte, plan.MaxMessage)
	for {
		n, fds, err := kern.Recv(s.sync, buf)
		if err != nil {
			return nil, at("wait", "for the parent", err)
		}
		if n == 0 {
			os.Exit(StatusFailed) //nolint:forbidigo // nobody is left to report to
		}
		var m plan.Message
		if err := json.Unmarshal(buf[:n], &m); err != nil {
			return nil, at("decode", "message", err)
		}
		files = append(files, fds...)
		switch m.Kind {
		case plan.Files:
		case plan.Accounts:
			if err := s.sendAccounts(); err != nil {
				return nil, err
			}
		case plan.Go:
			return files, nil
		default:
			return nil, at("wait", "for the parent", fmt.Errorf("unexpected message %q", m.Kind))
		}
	}
}

func send(sock int, m plan.Message) error {
	if len(m.Cause) > plan.MaxMessage/2 {
		m.Cause = m.Cause[:plan.MaxMessage/2]
	}
	msg, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return kern.Send(sock, msg)
}

func nsName(t int) string {
	switch t {
	case kern.NewMount:
		return "mount namespace"
	case kern.NewPID:
		return "pid namespace"
	case kern.NewNet:
		return "network namespace"
	case kern.NewIPC:
		return "ipc namespace"
	case kern.NewUTS:
		return "uts namespace"
	case kern.NewUser:
		return "user namespace"
	case kern.NewCgroup:
		return "cgroup namespace"
	case kern.NewTime:
		return "time namespace"
	}
	return "namespace"
}
