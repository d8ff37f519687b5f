package oci

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// A Seed is the init of a container of which only the namespaces are known. It
// boots, which takes milliseconds, while its parent finds out the rest. Used by
// Create or not, it must be closed.
type Seed struct {
	init  *Container
	clone uintptr  // CLONE_NEW* flags that it was made with
	self  *os.File // the program that it runs, where nobody can write to it
	plan  *os.File // it reads this when it is told to go on

	cgroup *os.File // that it is in; nil: ours
}

// Sow starts an init in namespaces of its own, for Config.Seed. Paths of existing
// namespaces are an error. What Config.KillWithParent says about the calling
// thread holds for Sow too. cgroup is that of Config.
func Sow(namespaces []specs.LinuxNamespace, cgroup *os.File) (*Seed, error) {
	b := &blueprint{}
	if err := b.namespaces(nil, &specs.Linux{Namespaces: namespaces}); err != nil {
		return nil, err
	}
	if len(b.join) > 0 {
		return nil, fmt.Errorf("linux.namespaces: %s: a seed joins none", b.join[0].path)
	}
	return sow(b.clone, nil, cgroup)
}

// PID of the init; 0 where it is gone.
func (s *Seed) PID() int {
	if s == nil || s.init == nil {
		return 0
	}
	return s.init.PID
}

// Moved tells that somebody has moved the init to cgroup.
func (s *Seed) Moved(cgroup *os.File) { s.cgroup = cgroup }

// sow starts init, which waits to be briefed. Nothing of the container is
// inherited by it: Briefed, it gets what it needs over its socket.
func sow(clone uintptr, join []sys.Namespace, cgroup *os.File) (_ *Seed, err error) {
	s := &Seed{clone: clone, cgroup: cgroup}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.self, err = selfExe(); err != nil {
		return nil, err
	}
	fd, err := kern.Memfd("plan", nil)
	if err != nil {
		return nil, fmt.Errorf("make file for the plan: %w", err)
	}
	s.plan = os.NewFile(uintptr(fd), "plan")
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
	f := sprout{clone: clone, join: join, cgroup: cgroup, files: []*os.File{null, null, null, plan.SyncFD: sync, plan.PlanFD: s.plan}}
	p, err := f.start(s.self)
	if err != nil {
		kern.Close(ours)
		return nil, fmt.Errorf("clone container init: %w", err)
	}
	s.init = &Container{PID: p.Pid, proc: p, sync: ours}
	return s, nil
}

// take moves what s has to a new Seed; nil where nothing is left.
func (s *Seed) take() *Seed {
	if s.init == nil {
		return nil
	}
	t := *s
	*s = Seed{}
	return &t
}

// Close ends an init that was not used. It may be called more than once, and on
// nil.
func (s *Seed) Close() error {
	if s == nil {
		return nil
	}
	t := *s
	*s = Seed{}
	var err error
	if t.init != nil {
		err = t.init.discard()
	}
	for _, f := range []*os.File{t.self, t.plan} {
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

// initEnv keeps the Go runtime of the stage small: it lives for milliseconds,
// on one thread, and never has enough garbage to collect.
func initEnv() []string { return []string{"GOGC=off", "GOMAXPROCS=1"} }

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
	return sys.StartChild(program, []string{plan.InitName}, &os.ProcAttr{Env: initEnv(), Files: f.files, Sys: attr})
}

// startJoined starts init where some can only be joined before it exists.
func (f *sprout) startJoined(program string) (*sys.Child, error) {
	fork := &sys.NSFork{
		Path: program, Args: []string{plan.InitName}, Env: initEnv(), Files: f.files, Cgroup: f.cgroup,
		Join: f.join, Unshare: f.clone, Ambient: true,
		// Others in a pid namespace that is joined see it from its first moment on.
		Hide: true,
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
