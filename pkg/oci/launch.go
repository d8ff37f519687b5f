package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/cleanup"
	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/oci/seccomp"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// launch is a blueprint with everything opened that init is started with.
type launch struct {
	*blueprint
	cfg   *Config
	files []*os.File      // of init, by number
	early []sys.Namespace // to join before init exists
	null  *os.File
	self  *os.File // this program, where nobody can write to it
	plan  *os.File
	undo  cleanup.Stack
}

func newLaunch(c *Config) (_ *launch, err error) {
	b, err := newBlueprint(c)
	if err != nil {
		return nil, err
	}
	l := &launch{blueprint: b, cfg: c}
	defer l.undo.RunOnError(&err)
	if err := checkLabels(c.Spec); err != nil {
		return nil, err
	}
	if l.self, err = selfExe(); err != nil {
		return nil, err
	}
	l.undo.Push("close program", l.self.Close)
	if l.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	l.undo.Push("close /dev/null", l.null.Close)
	fd, err := kern.Memfd("plan", nil)
	if err != nil {
		return nil, fmt.Errorf("make file for the plan: %w", err)
	}
	l.plan = os.NewFile(uintptr(fd), "plan")
	l.undo.Push("close plan", l.plan.Close)
	l.files = []*os.File{l.std(c.Stdin), l.std(c.Stdout), l.std(c.Stderr), nil, l.plan}
	return l, l.openFiles()
}

func (l *launch) std(f *os.File) *os.File {
	if f == nil || l.blueprint.plan.Process.Terminal {
		return l.null
	}
	return f
}

// give makes f one of init's descriptors and returns its number there.
func (l *launch) give(f *os.File) int {
	l.files = append(l.files, f)
	return len(l.files) - 1
}

func (l *launch) openFiles() error {
	p := &l.blueprint.plan
	if err := l.openNamespaces(); err != nil {
		return err
	}
	if p.FS != nil && l.cfg.Root != nil {
		p.FS.RootFD = l.give(l.cfg.Root)
	}
	if l.cfg.Gate != nil {
		p.Gate = l.give(l.cfg.Gate)
	}
	if l.cfg.Held != nil {
		p.Held = l.give(l.cfg.Held)
	}
	if p.Process.Reaper {
		p.Process.SelfFD = l.give(l.self)
	}
	if p.NewUser && p.FS != nil {
		if err := l.openSources(); err != nil {
			return err
		}
	}
	p.Process.ExtraFD = len(l.files)
	for _, f := range l.cfg.ExtraFiles {
		l.give(f)
	}
	return nil
}

// openNamespaces sorts the namespaces to join: init itself can enter most of
// them, on its one thread. A process enters no pid namespace, only its children
// do, and no user namespace once it has threads; and from inside a new user
// namespace those of the old one are closed. All these come before init exists.
func (l *launch) openNamespaces() error {
	p := &l.blueprint.plan
	early := p.NewUser || slices.ContainsFunc(l.join, func(n nsPath) bool { return n.flag == kern.NewPID || n.flag == kern.NewUser })
	for _, ns := range l.join {
		f, err := os.Open(ns.path)
		if err != nil {
			return fmt.Errorf("join namespace: %w", err)
		}
		l.undo.Push("close "+ns.path, f.Close)
		switch {
		case !early || ns.flag == kern.NewMount: // init's program is found by way of our mounts
			p.Join = append(p.Join, plan.Join{Type: ns.flag, FD: l.give(f)})
		case ns.flag == kern.NewUser:
			l.early = slices.Insert(l.early, 0, sys.Namespace{File: f, Type: kern.NewUser})
		default:
			l.early = append(l.early, sys.Namespace{File: f, Type: uintptr(ns.flag)})
		}
	}
	return nil
}

// openSources copies the trees to be mounted before a new user namespace takes
// the right to walk to them away: a home directory of mode 0700 is closed to a
// root that its owner's id is not mapped to. A caller without CAP_SYS_ADMIN
// can't, and leaves it to init.
func (l *launch) openSources() error {
	fs := l.blueprint.plan.FS
	clone := func(path string, opts ...kern.TreeOpt) (int, error) {
		fd, err := kern.CloneTree(kern.AtCwd, path, opts...)
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
			return plan.NoFD, nil
		}
		if err != nil {
			return plan.NoFD, err
		}
		f := os.NewFile(uintptr(fd), path)
		l.undo.Push("close "+path, f.Close)
		return l.give(f), nil
	}
	if fs.RootFD == plan.NoFD {
		fd, err := clone(fs.Root, kern.Recursive)
		if err != nil {
			return fmt.Errorf("open root file system %s: %w", fs.Root, err)
		}
		fs.RootFD = fd
	}
	for i := range fs.Mounts {
		m := &fs.Mounts[i]
		if !m.Bind {
			continue
		}
		var opts []kern.TreeOpt
		if m.Recursive {
			opts = append(opts, kern.Recursive)
		}
		fd, err := clone(m.Source, opts...)
		if err != nil {
			return fmt.Errorf("mount: %s: source %s: %w", m.Dest, m.Source, err)
		}
		m.FD = fd
	}
	return nil
}

func (l *launch) close() { _ = l.undo.Run() } // descriptors nobody reads any more

// initEnv keeps the Go runtime of the stage small: it lives for milliseconds,
// on one thread, and never has enough garbage to collect.
func initEnv() []string { return []string{"GOGC=off", "GOMAXPROCS=1"} }

// spawn starts init. It waits for the plan.
func (l *launch) spawn() (*Container, error) {
	ours, theirs, err := kern.SocketPair()
	if err != nil {
		return nil, fmt.Errorf("make socket pair: %w", err)
	}
	sync := os.NewFile(uintptr(theirs), "sync")
	defer sync.Close()
	l.files[plan.SyncFD] = sync
	exe, err := kern.Dup(int(l.self.Fd()), l.freeFD())
	if err != nil {
		kern.Close(ours)
		return nil, fmt.Errorf("keep program open: %w", err)
	}
	defer kern.Close(exe)
	program := "/proc/self/fd/" + strconv.Itoa(exe)
	start := l.startNew
	if len(l.early) > 0 {
		start = l.startJoined
	}
	p, err := start(program)
	if err != nil {
		kern.Close(ours)
		return nil, fmt.Errorf("clone container init: %w", err)
	}
	return &Container{PID: p.Pid, proc: p, sync: ours}, nil
}

// startNew starts init where all namespaces that clone enters are new.
func (l *launch) startNew(program string) (*os.Process, error) {
	attr := &syscall.SysProcAttr{Cloneflags: l.blueprint.clone}
	if l.blueprint.plan.NewUser {
		attr.AmbientCaps = allCaps() // until ids are mapped nothing else keeps them over execve
	}
	if l.cfg.Cgroup != nil {
		attr.UseCgroupFD, attr.CgroupFD = true, int(l.cfg.Cgroup.Fd())
	}
	return os.StartProcess(program, []string{plan.InitName}, &os.ProcAttr{Env: initEnv(), Files: l.files, Sys: attr})
}

// startJoined starts init where some can only be joined before it exists.
func (l *launch) startJoined(program string) (*os.Process, error) {
	f := &sys.NSFork{
		Path: program, Args: []string{plan.InitName}, Env: initEnv(), Files: l.files, Cgroup: l.cfg.Cgroup,
		Join: l.early, Unshare: l.blueprint.clone, Ambient: true,
	}
	f.BecomeRoot = slices.ContainsFunc(l.early, func(n sys.Namespace) bool { return n.Type == kern.NewUser })
	c, err := f.Start()
	if err != nil {
		return nil, err
	}
	pid, err := c.Executed()
	if err != nil {
		return nil, err
	}
	return os.FindProcess(pid)
}

// freeFD returns a number above those that os.StartProcess uses in the child: it
// puts init's descriptors in place by way of numbers above the highest of them,
// before the program is opened.
func (l *launch) freeFD() int {
	top := len(l.files)
	for _, f := range l.files {
		top = max(top, int(f.Fd()))
	}
	return top + len(l.files) + 2
}

func allCaps() []uintptr {
	const last = 40 // CAP_CHECKPOINT_RESTORE, Linux 5.9
	all := make([]uintptr, last+1)
	for i := range all {
		all[i] = uintptr(i)
	}
	return all
}

// brief gives init what it waits for: its ids and the plan.
func (l *launch) brief(c *Container) error {
	p := &l.blueprint.plan
	if p.NewUser {
		if err := writeMaps(c.PID, l.cfg.Spec.Linux); err != nil {
			return err
		}
	}
	if err := l.filter(p); err != nil {
		return err
	}
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode plan: %w", err)
	}
	if len(data) > plan.MaxSize {
		return fmt.Errorf("encode plan: %d bytes are more than %d", len(data), plan.MaxSize)
	}
	if _, err := l.plan.Write(data); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return c.send(plan.Message{Kind: plan.Go})
}

func (l *launch) filter(p *plan.Plan) error {
	linux := l.cfg.Spec.Linux
	if linux == nil || linux.Seccomp == nil {
		return nil
	}
	f := l.cfg.Filter
	if f == nil {
		var err error
		if f, err = seccomp.Compile(linux.Seccomp); err != nil {
			return fmt.Errorf("linux.seccomp: %w", err)
		}
	}
	p.Seccomp, p.SeccompFlags = f.Program, f.Flags
	return nil
}

// checkLabels refuses a label that no security module would enforce.
func checkLabels(s *specs.Spec) error {
	if s.Process.ApparmorProfile != "" {
		on, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
		if err != nil || len(on) == 0 || on[0] != 'Y' {
			return fmt.Errorf("process.apparmorProfile %q: AppArmor is not enabled on this host", s.Process.ApparmorProfile)
		}
	}
	if s.Process.SelinuxLabel != "" {
		if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil {
			return fmt.Errorf("process.selinuxLabel %q: SELinux is not enabled on this host", s.Process.SelinuxLabel)
		}
	}
	return nil
}
