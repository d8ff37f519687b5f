package sys

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The runtime's hooks around a fork: they block signals, forbid the stack to
// grow, and reset signal handlers in the child. The runtime keeps these names
// for packages that fork themselves (go.dev/issue/67401).

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

// fork clones and returns the child's pid; the child runs the program instead.
func (p *program) fork() (int, syscall.Errno) {
	syscall.ForkLock.Lock() // nobody else has descriptors that lack close-on-exec
	after := func() {}
	if p.share {
		after = p.lend()
	}
	pid, errno := p.rawFork()
	afterFork()
	after()
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(p)
	return int(pid), errno
}

// lend prepares this thread for a child that it waits for: the child is to begin
// right here, not to queue on a processor where another thread of this process is
// at work. What lend returns undoes it.
func (p *program) lend() (after func()) {
	runtime.LockOSThread()
	dumpable, derr := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	here, cerr := currentCPU()
	if cerr == nil {
		p.cpus, cerr = affinity()
	}
	if cerr == nil {
		var only unix.CPUSet
		only.Set(here)
		_ = unix.SchedSetaffinity(0, &only)
	}
	return func() {
		if cerr == nil {
			_ = unix.SchedSetaffinity(0, &p.cpus)
		}
		if derr == nil && dumpable == 1 { // it is the memory's, and the child had it
			_ = prctl(unix.PR_SET_DUMPABLE, 1)
		}
		runtime.UnlockOSThread()
	}
}

// currentCPU is where this thread runs, which must be locked.
func currentCPU() (int, error) {
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return 0, os.NewSyscallError("getcpu", errno)
	}
	return int(cpu), nil
}

// affinity is what to set for a thread to get back what it may use now: every
// processor if its control group alone limits it, for that may change.
func affinity() (now unix.CPUSet, err error) {
	if err := unix.SchedGetaffinity(0, &now); err != nil {
		return now, os.NewSyscallError("sched_getaffinity", err)
	}
	var all, most unix.CPUSet
	for i := range all {
		all[i] = ^all[i]
	}
	if err := unix.SchedSetaffinity(0, &all); err != nil {
		return now, os.NewSyscallError("sched_setaffinity", err)
	}
	if err := unix.SchedGetaffinity(0, &most); err == nil && most == now {
		return all, nil
	}
	return now, nil
}

// rawFork calls beforeFork itself, after its own prologue: from there on, only
// nosplit functions may be called, in the parent until afterFork, in the child
// for good. The runtime aborts on anything else.
//
// Of a child that shares memory it returns when the child is gone, which has used
// the stack from this function's callees on: nothing may be left to do then.
//
//go:noinline
//go:norace
//go:nocheckptr
func (p *program) rawFork() (pid uintptr, errno syscall.Errno) {
	beforeFork()
	switch {
	case p.share && p.clone3 != nil:
		pid, errno = vfork(unix.SYS_CLONE3, uintptr(unsafe.Pointer(p.clone3)), unsafe.Sizeof(*p.clone3), 0)
	case p.share:
		pid, errno = vfork(unix.SYS_CLONE, p.clone|uintptr(syscall.SIGCHLD), 0, 0)
	case p.clone3 != nil:
		pid, _, errno = syscall.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(p.clone3)), unsafe.Sizeof(*p.clone3), 0)
	default:
		pid, _, errno = syscall.RawSyscall6(syscall.SYS_CLONE, p.clone|uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	}
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	afterForkInChild()
	p.run()
	return 0, 0 // not reached
}

// run is the child.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (p *program) run() {
	for i := range p.ops {
		op := &p.ops[i]
		if op.refork {
			p.refork()
			continue
		}
		if op.useFD {
			op.args[0] = p.fd
		}
		for {
			r, _, errno := syscall.RawSyscall6(op.nr, op.args[0], op.args[1], op.args[2], op.args[3], op.args[4], 0)
			if errno == syscall.EINTR {
				continue
			}
			if errno != 0 && !op.try {
				p.say(uint64(i), uint64(errno))
				exit(127)
			}
			if op.setFD {
				p.fd = r
			}
			break
		}
	}
	exit(127) // not reached: the last call is execve
}

// refork goes on in a second child, a sibling of the first or an orphan; the first
// ends.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (p *program) refork() {
	if p.share {
		p.revfork()
		return
	}
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, p.again|uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		p.say(stepSecondClone, uint64(errno))
		exit(127)
	}
	if pid != 0 {
		p.say(reportPid, uint64(pid))
		exit(0)
	}
}

// revfork is refork with the same memory. The first child waits for the second's
// execve, so it is the second that says who it is; the first has no stack left.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (p *program) revfork() {
	pid, errno := vfork(unix.SYS_CLONE, p.again|uintptr(syscall.SIGCHLD), 0, uintptr(unsafe.Pointer(&p.second)))
	if errno != 0 {
		p.say(stepSecondClone, uint64(errno))
		exit(127)
	}
	if pid != 0 {
		exit(0)
	}
	p.say(reportPid, uint64(p.second))
}

// say writes one report; pipe(7) makes it atomic.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (p *program) say(a, b uint64) {
	p.report[0], p.report[1] = a, b
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, p.errfd, uintptr(unsafe.Pointer(&p.report)), unsafe.Sizeof(p.report))
}

//go:nosplit
//go:norace
func exit(status uintptr) {
	for {
		_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT_GROUP, status, 0, 0)
	}
}
