package sys

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Child is a child process of this one, which nobody else waits for. Package os
// makes sure of pidfds before it starts or finds the first process, by a process
// of its own; a program that lives for milliseconds does without.
type Child struct {
	Pid int

	mu     sync.Mutex // a signal and the end of the pid's validity exclude each other
	reaped bool
}

// ChildOf returns the child with that pid, which has not been waited for.
func ChildOf(pid int) *Child { return &Child{Pid: pid} }

// StartChild is os.StartProcess, but for Env: nil is an empty environment.
func StartChild(path string, argv []string, attr *os.ProcAttr) (c *Child, err error) {
	err = PlainTimers(func() error {
		c, err = startChild(path, argv, attr)
		return err
	})
	return c, err
}

// StartSelf is StartChild for path being this program: NSFork.EaseTimers.
func StartSelf(path string, argv []string, attr *os.ProcAttr) (c *Child, err error) {
	err = easeTimers(func() error {
		c, err = startChild(path, argv, attr)
		return err
	})
	return c, err
}

func startChild(path string, argv []string, attr *os.ProcAttr) (*Child, error) {
	fds := make([]uintptr, len(attr.Files))
	for i, f := range attr.Files {
		fds[i] = ^uintptr(0)
		if f != nil {
			fds[i] = f.Fd()
		}
	}
	pid, _, err := syscall.StartProcess(path, argv, &syscall.ProcAttr{Dir: attr.Dir, Env: attr.Env, Files: fds, Sys: attr.Sys})
	runtime.KeepAlive(attr.Files)
	if err != nil {
		return nil, &os.PathError{Op: "fork/exec", Path: path, Err: err}
	}
	return ChildOf(pid), nil
}

// Wait waits until the process has ended, once.
func (c *Child) Wait() (syscall.WaitStatus, error) {
	err := retryEINTR(func() error { return unix.Waitid(unix.P_PID, c.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) })
	if err != nil {
		return 0, os.NewSyscallError("waitid", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reaped = true
	var st syscall.WaitStatus
	err = retryEINTR(func() error {
		_, err := syscall.Wait4(c.Pid, &st, 0, nil)
		return err
	})
	return st, os.NewSyscallError("wait4", err)
}

// Signal sends sig. os.ErrProcessDone: Wait has returned.
func (c *Child) Signal(sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		return os.ErrProcessDone
	}
	return os.NewSyscallError("kill", syscall.Kill(c.Pid, sig))
}

// Kill sends SIGKILL.
func (c *Child) Kill() error { return c.Signal(syscall.SIGKILL) }

// ExitText tells how a process ended: "exit status 3", "signal: killed".
func ExitText(st syscall.WaitStatus) string {
	if st.Signaled() {
		return "signal: " + st.Signal().String()
	}
	return "exit status " + strconv.Itoa(st.ExitStatus())
}
