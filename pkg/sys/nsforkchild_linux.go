package sys

import (
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
	pid, errno := p.rawFork()
	afterFork()
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(p)
	return int(pid), errno
}

// rawFork calls beforeFork itself, after its own prologue: from there on, only
// nosplit functions may be called, in the parent until afterFork, in the child
// for good. The runtime aborts on anything else.
//
//go:noinline
//go:norace
//go:nocheckptr
func (p *program) rawFork() (pid uintptr, errno syscall.Errno) {
	beforeFork()
	if p.clone3 != nil {
		pid, _, errno = syscall.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(p.clone3)), unsafe.Sizeof(*p.clone3), 0)
	} else {
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
