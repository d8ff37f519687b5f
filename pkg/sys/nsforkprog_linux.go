package sys

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nook-containers/nook/pkg/sys/kern"
)

// Values of a report's first word that are not positions in the program.
const (
	reportPid       = ^uint64(0)     // second word: pid of the second child
	stepSecondClone = ^uint64(0) - 1 // second word: errno
)

// cloneArgs is struct clone_args of clone3(2), version 2 (Linux 5.7).
type cloneArgs struct {
	flags, pidFD, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// A sysOp is one system call of the child.
type sysOp struct {
	step   string
	nr     uintptr
	args   [5]uintptr
	try    bool // an error does not matter
	refork bool // not a call but the second clone
	setFD  bool // the result is program.fd from here on
	useFD  bool // the first argument is program.fd
}

// A program is all that the child may look at.
type program struct {
	clone  uintptr     // flags of clone(2), without the signal
	clone3 *cloneArgs  // instead, for a child in a cgroup
	again  uintptr     // flags of the second clone, without the signal
	share  bool        // the children have this process's memory
	second uint32      // with share, pid of the second child
	cpus   unix.CPUSet // with share, what the child may run on once it needs nothing of this process
	errfd  uintptr     // where to report
	fd     uintptr     // a descriptor that the child has made
	ops    []sysOp
	report [2]uint64        // the report being written
	keep   []unsafe.Pointer // what args point to
}

// A compiler turns an NSFork into a program.
type compiler struct {
	prog     program
	temp     []*os.File // open until the fork is done
	enterPID bool
}

func (c *compiler) close() {
	for _, f := range c.temp {
		f.Close()
	}
}

func (c *compiler) compile(f *NSFork, report *os.File) error {
	if len(f.Args) == 0 {
		return errors.New("no arguments")
	}
	c.prog.clone = f.CloneFlags
	errfd, err := c.lift(report, len(f.Files))
	if err != nil {
		return err
	}
	c.prog.errfd = errfd
	if f.Cgroup != nil {
		c.prog.clone3 = &cloneArgs{
			flags:      uint64(f.CloneFlags) | unix.CLONE_INTO_CGROUP,
			exitSignal: uint64(unix.SIGCHLD),
			cgroup:     uint64(f.Cgroup.Fd()),
		}
	}
	if c.prog.share = f.Share && f.mayShare(); c.prog.share {
		c.prog.shareMemory()
	}
	if f.Hide || c.prog.share {
		c.op("set not dumpable", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
	}
	if err := c.namespaces(f); err != nil {
		return err
	}
	c.identity(f)
	if c.enterPID {
		c.prog.again |= unix.CLONE_PARENT
		c.op("clone", 0).refork = true
	}
	if f.Detach {
		if c.enterPID {
			return errors.New("detach: not with a pid namespace")
		}
		c.op("setsid", unix.SYS_SETSID)
		c.op("clone", 0).refork = true
	}
	if err := c.files(f); err != nil {
		return err
	}
	return c.exec(f)
}

// mayShare reports whether no step of the child demands memory of its own
// (time_namespaces(7), unshare(2)).
func (f *NSFork) mayShare() bool {
	all := f.Unshare
	for _, ns := range f.Join {
		all |= ns.Type & unix.CLONE_NEWTIME
	}
	return canVfork && !f.SmallPages && all&(unix.CLONE_NEWTIME|unix.CLONE_NEWUSER) == 0
}

func (p *program) shareMemory() {
	const lent = unix.CLONE_VM | unix.CLONE_VFORK
	p.clone |= lent
	if p.clone3 != nil {
		p.clone3.flags |= lent
	}
	p.again = lent | unix.CLONE_PARENT_SETTID
}

// lift returns f's descriptor, or a duplicate of it that is not below min, where
// dup3 onto 0..min-1 cannot hit it.
func (c *compiler) lift(f *os.File, minFD int) (uintptr, error) {
	if f.Fd() >= uintptr(minFD) {
		return f.Fd(), nil
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, minFD)
	if err != nil {
		return 0, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	c.temp = append(c.temp, os.NewFile(uintptr(fd), f.Name()))
	return uintptr(fd), nil
}

func (c *compiler) op(step string, nr uintptr, args ...uintptr) *sysOp {
	o := sysOp{step: step, nr: nr}
	copy(o.args[:], args)
	c.prog.ops = append(c.prog.ops, o)
	return &c.prog.ops[len(c.prog.ops)-1]
}

func (c *compiler) pointer(p unsafe.Pointer) uintptr {
	c.prog.keep = append(c.prog.keep, p) // also moves it to the heap, where it stays put
	return uintptr(p)
}

func (c *compiler) cstring(s string) (uintptr, error) {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		return 0, err
	}
	return c.pointer(unsafe.Pointer(p)), nil
}

func (c *compiler) cstrings(ss []string) (uintptr, error) {
	p, err := syscall.SlicePtrFromStrings(ss)
	if err != nil {
		return 0, err
	}
	return c.pointer(unsafe.Pointer(&p[0])), nil
}

func (c *compiler) namespaces(f *NSFork) error {
	all, join := f.Unshare, f.Join
	setns := func(ns Namespace) {
		all |= ns.Type
		c.op("setns "+NamespaceName(ns.Type), unix.SYS_SETNS, ns.File.Fd(), ns.Type)
	}
	if len(join) > 0 && join[0].Type == unix.CLONE_NEWUSER {
		setns(join[0])
		join = join[1:]
	}
	if f.ReadOnly {
		if err := c.readOnly(f.Path, len(f.Files)); err != nil {
			return err
		}
	}
	for _, ns := range join {
		setns(ns)
	}
	if f.Unshare != 0 {
		c.op("unshare", unix.SYS_UNSHARE, f.Unshare)
	}
	c.enterPID = all&unix.CLONE_NEWPID != 0
	return nil
}

// StepReadOnly begins the Step of an NSForkError that is about NSFork.ReadOnly.
const StepReadOnly = "mount own program read-only: "

// readOnly makes the mount of NSFork.ReadOnly, in a mount namespace that the
// joined user namespace owns. Its descriptor is moved out of the way of Files.
func (c *compiler) readOnly(path string, files int) error {
	name, err := c.cstring(path)
	if err != nil {
		return err
	}
	cwd := unix.AT_FDCWD
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	c.op(StepReadOnly+"unshare", unix.SYS_UNSHARE, unix.CLONE_NEWNS)
	c.op(StepReadOnly+"open_tree "+path, unix.SYS_OPEN_TREE, uintptr(cwd), name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC).setFD = true
	c.op(StepReadOnly+"mount_setattr", unix.SYS_MOUNT_SETATTR, 0, c.empty(), unix.AT_EMPTY_PATH,
		c.pointer(unsafe.Pointer(attr)), unsafe.Sizeof(*attr)).useFD = true
	op := c.op(StepReadOnly+"fcntl F_DUPFD_CLOEXEC", unix.SYS_FCNTL, 0, unix.F_DUPFD_CLOEXEC, uintptr(files))
	op.useFD, op.setFD = true, true
	return nil
}

// empty is "".
func (c *compiler) empty() uintptr { return c.pointer(unsafe.Pointer(&[]byte{0}[0])) }

func (c *compiler) identity(f *NSFork) {
	if f.BecomeRoot {
		c.op("setresgid 0", unix.SYS_SETRESGID, 0, 0, 0)
		c.op("setresuid 0", unix.SYS_SETRESUID, 0, 0, 0)
	}
	if f.Ambient {
		hdr := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		last := lastCap()
		mask := uint64(1)<<(last+1) - 1
		lo, hi := uint32(mask), uint32(mask>>32)
		data := &[2]unix.CapUserData{
			{Effective: lo, Permitted: lo, Inheritable: lo},
			{Effective: hi, Permitted: hi, Inheritable: hi},
		}
		c.op("capset", unix.SYS_CAPSET, c.pointer(unsafe.Pointer(hdr)), c.pointer(unsafe.Pointer(data)))
		for i := range last + 1 {
			c.op("raise ambient capabilities", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, i)
		}
	}
	if f.SlaveMounts {
		root := c.pointer(unsafe.Pointer(&[]byte("/\x00")[0]))
		c.op("make mounts slave", unix.SYS_MOUNT, 0, root, 0, unix.MS_REC|unix.MS_SLAVE)
	}
}

// lastCap is the highest capability that the kernel knows. PR_CAPBSET_READ
// answers EINVAL beyond it (capabilities(7)).
func lastCap() uintptr {
	last := uintptr(unix.CAP_LAST_CAP)
	for last > 0 && prctl(unix.PR_CAPBSET_READ, last) != nil {
		last--
	}
	for last < 63 && prctl(unix.PR_CAPBSET_READ, last+1) == nil {
		last++
	}
	return last
}

func prctl(option int, arg uintptr) error {
	_, err := unix.PrctlRetInt(option, arg, 0, 0, 0)
	return err
}

func (c *compiler) files(f *NSFork) error {
	if f.Dir != "" {
		dir, err := c.cstring(f.Dir)
		if err != nil {
			return err
		}
		c.op("chdir "+f.Dir, unix.SYS_CHDIR, dir)
	}
	for i, file := range f.Files {
		if file == nil {
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			c.temp = append(c.temp, null)
			file = null
		}
		src, err := c.lift(file, len(f.Files))
		if err != nil {
			return err
		}
		c.op("dup3", unix.SYS_DUP3, src, uintptr(i), 0)
	}
	// What a shell left open for us is not for the child. Older kernels than 5.11
	// don't know the flag; there such descriptors pass through, as with any exec.
	c.op("close_range", unix.SYS_CLOSE_RANGE, uintptr(len(f.Files)), uintptr(^uint32(0)), unix.CLOSE_RANGE_CLOEXEC).try = true
	return nil
}

func (c *compiler) exec(f *NSFork) error {
	if c.prog.share {
		c.op("sched_setaffinity", unix.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(c.prog.cpus), c.pointer(unsafe.Pointer(&c.prog.cpus))).try = true
	}
	if f.SmallPages {
		c.op("prctl PR_SET_THP_DISABLE", unix.SYS_PRCTL, unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)
	}
	if f.EaseTimers {
		c.op("prctl PR_SET_TIMERSLACK", unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, kern.EasyTimerSlack)
	}
	argv, err := c.cstrings(f.Args)
	if err != nil {
		return err
	}
	envv, err := c.cstrings(f.Env)
	if err != nil {
		return err
	}
	if f.ReadOnly {
		c.op("execveat", unix.SYS_EXECVEAT, 0, c.empty(), argv, envv, unix.AT_EMPTY_PATH).useFD = true
		return nil
	}
	if f.Program != nil {
		fd, err := c.lift(f.Program, len(f.Files))
		if err != nil {
			return err
		}
		c.op("execveat", unix.SYS_EXECVEAT, fd, c.empty(), argv, envv, unix.AT_EMPTY_PATH)
		return nil
	}
	path := f.Path
	if path == "" {
		path = "/proc/self/exe"
	}
	p, err := c.cstring(path)
	if err != nil {
		return err
	}
	c.op("execve "+path, unix.SYS_EXECVE, p, argv, envv)
	return nil
}
