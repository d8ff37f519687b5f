package kern

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ExecFD replaces the process by the program that fd is open on, without any
// path (execveat(2), AT_EMPTY_PATH). It returns only on failure.
func ExecFD(fd int, args, env []string) error {
	empty, err := unix.BytePtrFromString("")
	if err != nil {
		return err
	}
	argv, err := stringPtrs(args)
	if err != nil {
		return err
	}
	envv, err := stringPtrs(env)
	if err != nil {
		return err
	}
	_, _, e := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(empty)),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envv[0])), unix.AT_EMPTY_PATH, 0)
	return e
}

func stringPtrs(ss []string) ([]*byte, error) {
	p := make([]*byte, len(ss)+1)
	for i, s := range ss {
		b, err := unix.BytePtrFromString(s)
		if err != nil {
			return nil, err
		}
		p[i] = b
	}
	return p, nil
}

// Sched is the argument of sched_setattr(2).
type Sched struct {
	Policy                    uint32
	Flags                     uint64
	Nice                      int32
	Priority                  uint32
	Runtime, Deadline, Period uint64
}

// SetScheduler sets the scheduling policy of the thread.
func SetScheduler(s Sched) error {
	return unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: s.Policy, Flags: s.Flags, Nice: s.Nice,
		Priority: s.Priority, Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
	}, 0)
}

// SetIOPriority sets the I/O class and priority of the thread, as
// ioprio_set(2) composes them.
func SetIOPriority(prio int) error {
	const whoProcess = 1
	_, _, e := unix.RawSyscall(unix.SYS_IOPRIO_SET, whoProcess, 0, uintptr(prio))
	return errnoErr(e)
}

// WaitAny waits for any child to end. It returns pid 0 when there is none.
func WaitAny() (pid int, status unix.WaitStatus, err error) {
	err = Retry(func() error {
		var e error
		pid, e = unix.Wait4(-1, &status, 0, nil)
		return e
	})
	if errors.Is(err, unix.ECHILD) {
		return 0, 0, nil
	}
	return pid, status, err
}

// Collect waits for a child that has ended already, and reports whether there was
// one.
func Collect() bool {
	pid := 0
	err := Retry(func() error {
		var e error
		pid, e = unix.Wait4(-1, nil, unix.WNOHANG, nil)
		return e
	})
	return err == nil && pid > 0
}

// DefaultSignals gives every signal its default action, as far as the kernel
// allows. Only a process that is about to execve may do that to the Go runtime.
func DefaultSignals() {
	var action [4]uint64 // struct sigaction, with SIG_DFL
	for n := uintptr(1); n <= 64; n++ {
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, n, uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	}
}
