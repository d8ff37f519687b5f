// Package seed starts the init of a container of which nothing but the namespaces is
// known. It boots, which takes milliseconds, while its parent finds out the rest; the
// parent may itself still be booting, hence the few imports.
package seed

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// A Seed is such an init, waiting to be briefed. Used or not, it must be closed.
type Seed struct {
	Child *sys.Child // the init; nil when it is used
	Sync  int        // our end of its socket, or plan.NoFD
	Plan  *os.File   // it reads this when it is told to go on
	Self  *os.File   // the program that it runs, where nobody can write to it

	clone  uintptr
	cgroup *os.File // that it is in; nil: ours
}

// Sow starts an init that is born in new namespaces, CLONE_NEW* flags in clone, in
// those of join, and in cgroup; nil is the caller's. Nothing of the container is
// inherited by it: it gets what it needs over its socket. It is killed when the
// calling thread ends, which the caller has locked (prctl(2), PR_SET_PDEATHSIG), once
// it has been told so.
func Sow(clone uintptr, join []sys.Namespace, cgroup *os.File) (_ *Seed, err error) {
	s := &Seed{Sync: plan.NoFD, clone: clone, cgroup: cgroup}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.Self, err = selfExe(); err != nil {
		return nil, err
	}
	fd, err := kern.Memfd("plan", nil)
	if err != nil {
		return nil, fmt.Errorf("make file for the plan: %w", err)
	}
	s.Plan = os.NewFile(uintptr(fd), "plan")
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	ours, theirs, err := kern.SocketPair()
	if err != nil {
		return nil, fmt.Errorf("make socket pair: %w", err)
	}
	sync := os.NewFile(uintptr(theirs), "sync")
	defer sync.Close()
	f := sprout{clone: clone, join: join, cgroup: cgroup, files: []*os.File{null, null, null, plan.SyncFD: sync, plan.PlanFD: s.Plan}}
	if s.Child, err = f.start(s.Self); err != nil {
		kern.Close(ours)
		return nil, fmt.Errorf("clone container init: %w", err)
	}
	s.Sync = ours
	return s, nil
}

// PID of the init; 0 where it is used or there is none.
func (s *Seed) PID() int {
	if s == nil || s.Child == nil {
		return 0
	}
	return s.Child.Pid
}

// Fits reports whether the init is what Sow would make.
func (s *Seed) Fits(clone uintptr, join []sys.Namespace, cgroup *os.File) bool {
	return s.PID() != 0 && s.clone == clone && len(join) == 0 && s.cgroup == cgroup
}

// Moved tells that somebody has moved the init to cgroup.
func (s *Seed) Moved(cgroup *os.File) { s.cgroup = cgroup }

// Take moves what s has to a new Seed.
func (s *Seed) Take() *Seed {
	t := *s
	*s = Seed{Sync: plan.NoFD}
	return &t
}

// Running says that the init runs, so that what it was started from can go: closing that
// takes the kernel some time (dissolve_on_fput, RCU).
func (s *Seed) Running() error {
	if s.Self == nil {
		return nil
	}
	self := s.Self
	s.Self = nil
	return self.Close()
}

// Used leaves the init and its socket to the caller. The rest is still to be closed.
func (s *Seed) Used() { s.Child, s.Sync = nil, plan.NoFD }

// Close ends an init that was not used. It may be called more than once, and on
// nil.
func (s *Seed) Close() (err error) {
	if s == nil {
		return nil
	}
	t := s.Take()
	kern.Close(t.Sync)
	if t.Child != nil {
		if err = t.Child.Kill(); errors.Is(err, os.ErrProcessDone) {
			err = nil
		}
		_, werr := t.Child.Wait()
		err = errors.Join(err, werr)
	}
	for _, f := range []*os.File{t.Self, t.Plan} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// sprout is how init is started.
type sprout struct {
	clone  uintptr
	join   []sys.Namespace
	cgroup *os.File
	files  []*os.File
}

// InitEnv keeps the Go runtime of the stage small: it lives for milliseconds,
// on one thread, and never has enough garbage to collect.
func InitEnv() []string { return []string{"GOGC=off", "GOMAXPROCS=1"} }

func (f *sprout) start(self *os.File) (*sys.Child, error) {
	exe, err := kern.Dup(int(self.Fd()), f.freeFD())
	if err != nil {
		return nil, fmt.Errorf("keep program open: %w", err)
	}
	defer kern.Close(exe)
	program := "/proc/self/fd/" + strconv.Itoa(exe)
	if len(f.join) > 0 {
		return f.startJoined(program)
	}
	return f.startNew(program)
}

// startNew starts init where all namespaces that clone enters are new.
func (f *sprout) startNew(program string) (*sys.Child, error) {
	attr := &syscall.SysProcAttr{Cloneflags: f.clone}
	if f.clone&kern.NewUser != 0 {
		attr.AmbientCaps = allCaps() // until ids are mapped nothing else keeps them over execve
	}
	if f.cgroup != nil {
		attr.UseCgroupFD, attr.CgroupFD = true, int(f.cgroup.Fd())
	}
	return sys.StartSelf(program, []string{plan.InitName}, &os.ProcAttr{Env: InitEnv(), Files: f.files, Sys: attr})
}

// startJoined starts init where some can only be joined before it exists.
func (f *sprout) startJoined(program string) (*sys.Child, error) {
	fork := &sys.NSFork{
		Path: program, Args: []string{plan.InitName}, Env: InitEnv(), Files: f.files, Cgroup: f.cgroup,
		Join: f.join, Unshare: f.clone, Ambient: true,
		// Others in a pid namespace that is joined see it from its first moment on.
		Hide: true, EaseTimers: true,
	}
	fork.BecomeRoot = slices.ContainsFunc(f.join, func(n sys.Namespace) bool { return n.Type == kern.NewUser })
	c, err := fork.Start()
	if err != nil {
		return nil, err
	}
	pid, err := c.Executed()
	if err != nil {
		return nil, err
	}
	return sys.ChildOf(pid), nil
}

// freeFD returns a number above those that syscall.StartProcess uses in the child: it
// puts init's descriptors in place by way of numbers above the highest of them,
// before the program is opened.
func (f *sprout) freeFD() int {
	top := len(f.files)
	for _, file := range f.files {
		top = max(top, int(file.Fd()))
	}
	return top + len(f.files) + 2
}

func allCaps() []uintptr {
	const last = 40 // CAP_CHECKPOINT_RESTORE, Linux 5.9
	all := make([]uintptr, last+1)
	for i := range all {
		all[i] = uintptr(i)
	}
	return all
}
