package sys

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Namespace is one to join: File is open on it (/proc/PID/ns/*, or a pidfd),
// Type is its CLONE_NEW* flag, which setns(2) checks.
type Namespace struct {
	File *os.File
	Type uintptr
}

// NSFork describes a process to start in other namespaces than this one's.
//
// # Theory of operation
//
// setns(2) and unshare(2) refuse a user namespace to a process that has more
// than one thread, and a Go program always has. os.StartProcess can create
// namespaces but not join any. So NSFork forks itself: between fork and execve
// the child is single-threaded, and may do nothing but system calls, since the
// Go runtime's other threads, and with them its locks and its garbage collector,
// are gone.
//
// Therefore the parent compiles the request into a program, a list of system
// calls with their arguments, and the child is only a loop over that list. With
// Share it has this process's memory meanwhile, and the calling thread waits for
// its execve. Order:
//
//  1. clone, with CloneFlags and into Cgroup; no longer dumpable where Hide or Share
//  2. setns each of Join, with ReadOnly's mount after the user namespace;
//     unshare Unshare
//  3. ids 0, ambient capabilities, mount propagation
//  4. where a pid namespace was joined or unshared: clone again with
//     CLONE_PARENT, because only a child lives in it; the first child ends.
//     With Detach: setsid, and clone again without
//  5. the working directory, then Files become descriptors 0, 1, 2, ...; every
//     other descriptor becomes close-on-exec
//  6. execve
//
// The first call that fails ends the child, after its position in the list and
// its errno went through a close-on-exec pipe, whose end of file means success.
type NSFork struct {
	Path  string   // program; default /proc/self/exe
	Args  []string // argv, at least one
	Env   []string
	Files []*os.File // descriptors 0 and up; nil is /dev/null
	Dir   string     // working directory, resolved after joining; default: this one's

	// Program is executed in place of Path, without looking anything up.
	Program *os.File

	// ReadOnly executes Path, which this process's mount namespace has, from a
	// detached read-only mount: /proc/PID/exe of the child can't be opened for
	// writing, whoever owns the file. The mount's descriptor closes with execve,
	// and then nobody can change the mount's attributes (mount_setattr(2), Linux
	// 5.12). Where a user namespace is joined this needs no privilege.
	ReadOnly bool

	// Hide keeps processes of the joined namespaces from tracing the child, and
	// from its memory and descriptors, until execve (PR_SET_DUMPABLE): it still has
	// the memory of this process.
	Hide bool

	// Share lends the child this process's memory until execve instead of a copy
	// (CLONE_VM and CLONE_VFORK): no page of this process is copied or faults on its
	// next write. Meanwhile this process can't be traced either, nor /proc/PID/ns be
	// opened, but by who has power over the user namespace of its execve; and for a moment
	// more neither can the child, whose maps could not be written then. Share has
	// no effect where the child's memory must be its own: with SmallPages, and where the
	// kernel says so, of one that joins or unshares a time namespace or unshares a user
	// namespace.
	Share bool

	// EaseTimers gives the child kern.EasyTimerSlack while it boots. It is to give it
	// up then, in its first thread, by kern.SetTimerSlack(0).
	EaseTimers bool

	// SmallPages has the child, and what it starts, do without transparent huge pages
	// (PR_SET_THP_DISABLE).
	SmallPages bool

	// Cgroup is an open cgroup v2 directory to start the child in
	// (CLONE_INTO_CGROUP, Linux 5.7); nil: this process's.
	Cgroup *os.File

	CloneFlags uintptr     // CLONE_NEW* that clone itself makes
	Join       []Namespace // in this order; a user namespace comes first
	Unshare    uintptr     // CLONE_NEW* to make after joining

	// BecomeRoot sets the real, effective and saved ids to 0 in the joined user
	// namespace; supplementary groups stay as they are.
	BecomeRoot bool

	// Ambient raises every capability that the child has after clone into its
	// ambient set, so that execve keeps them while the ids of a new user
	// namespace are not mapped yet (capabilities(7)).
	Ambient bool

	// Detach makes the process nobody's child and the leader of nothing: a session
	// begins with the first child, which ends. Whoever adopts orphans reaps it. Not
	// together with a pid namespace.
	Detach bool

	// SlaveMounts stops mounts made in the new mount namespace from reaching the
	// old one. The kernel does so itself where the new namespace belongs to
	// another user namespace than the old one.
	SlaveMounts bool
}

// An NSForkError says which step of an NSFork failed.
type NSForkError struct {
	Step string // "clone", "setns user", "execve /proc/self/exe", ...
	Err  syscall.Errno
}

func (e *NSForkError) Error() string { return e.Step + ": " + e.Err.Error() }
func (e *NSForkError) Unwrap() error { return e.Err }

// An NSChild is a child on its way to execve.
type NSChild struct {
	Pid  int // of the first clone
	pipe *os.File
	ops  []sysOp
}

// Start forks. It returns as soon as the child exists, with Share once it has done
// all or ended; Executed waits for the rest. As a side effect the soft limit of open files (RLIMIT_NOFILE) of this
// process goes back to what it was started with: the runtime raises it for Go
// programs, and the child must not inherit that.
func (f *NSFork) Start() (*NSChild, error) {
	restoreNofile()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("nsfork: %w", err)
	}
	defer w.Close()
	var c compiler
	defer c.close()
	if err := c.compile(f, w); err != nil {
		r.Close()
		return nil, fmt.Errorf("nsfork: %w", err)
	}
	var pid int
	if err := PlainTimers(func() error {
		var errno syscall.Errno
		if pid, errno = c.prog.fork(); errno != 0 {
			return &NSForkError{Step: "clone", Err: errno}
		}
		return nil
	}); err != nil {
		r.Close()
		return nil, err
	}
	return &NSChild{Pid: pid, pipe: r, ops: c.prog.ops}, nil
}

// Executed waits until the child runs the program and returns its pid, which is
// not c.Pid where a pid namespace was entered. If a step failed it reaps the
// child and returns an *NSForkError.
func (c *NSChild) Executed() (pid int, err error) {
	defer c.pipe.Close()
	pid = c.Pid
	for {
		var rec [16]byte
		_, err := io.ReadFull(c.pipe, rec[:])
		if errors.Is(err, io.EOF) {
			return pid, nil
		}
		if err != nil {
			return 0, fmt.Errorf("nsfork: read the child's report: %w", err)
		}
		at, val := binary.NativeEndian.Uint64(rec[:8]), binary.NativeEndian.Uint64(rec[8:])
		if at == reportPid {
			reap(c.Pid) // it ended after the second clone
			pid = int(val)
			continue
		}
		reap(pid)
		if at == stepSecondClone {
			return 0, &NSForkError{Step: "clone in the pid namespace", Err: syscall.Errno(val)}
		}
		return 0, &NSForkError{Step: c.ops[at].step, Err: syscall.Errno(val)}
	}
}

func reap(pid int) {
	_ = retryEINTR(func() error {
		_, err := unix.Wait4(pid, nil, 0, nil)
		return err
	})
}

// restoreNofile undoes the runtime's raise of RLIMIT_NOFILE. The old value is
// known to package syscall alone, which restores it in Exec before the system
// call; an execve of "" always fails, with ENOENT, and leaves the restored limit.
func restoreNofile() { _ = syscall.Exec("", []string{""}, nil) }

// NamespaceName is the name below /proc/PID/ns of a CLONE_NEW* flag, or "".
func NamespaceName(flag uintptr) string {
	switch flag {
	case unix.CLONE_NEWUSER:
		return "user"
	case unix.CLONE_NEWNS:
		return "mnt"
	case unix.CLONE_NEWNET:
		return "net"
	case unix.CLONE_NEWPID:
		return "pid"
	case unix.CLONE_NEWIPC:
		return "ipc"
	case unix.CLONE_NEWUTS:
		return "uts"
	case unix.CLONE_NEWCGROUP:
		return "cgroup"
	case unix.CLONE_NEWTIME:
		return "time"
	}
	return ""
}

// Flags for NSFork, so that callers need no x/sys (clone(2)).
const (
	NewUser   = unix.CLONE_NEWUSER
	NewMount  = unix.CLONE_NEWNS
	NewPID    = unix.CLONE_NEWPID
	NewNet    = unix.CLONE_NEWNET
	NewIPC    = unix.CLONE_NEWIPC
	NewUTS    = unix.CLONE_NEWUTS
	NewCgroup = unix.CLONE_NEWCGROUP
	NewTime   = unix.CLONE_NEWTIME
)
