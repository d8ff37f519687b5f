package oci

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/cleanup"
	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/oci/seccomp"
	"github.com/nook-containers/nook/pkg/oci/seed"
	"github.com/nook-containers/nook/pkg/pack"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// launch is a blueprint with everything opened that init gets.
type launch struct {
	*blueprint
	cfg   *Config
	files []*os.File      // for init, by the numbers that the plan has for them
	early []sys.Namespace // to join before init exists
	null  *os.File
	init  *Container
	text  *os.File   // where init reads its plan
	seed  *seed.Seed // what init grew from; nil: it was entered
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
	if l.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	l.undo.Push("close /dev/null", l.null.Close)
	l.files = []*os.File{l.std(c.Stdin), l.std(c.Stdout), l.std(c.Stderr)}
	return l, l.openFiles()
}

func (l *launch) std(f *os.File) *os.File {
	if f == nil || l.blueprint.plan.Process.Terminal {
		return l.null
	}
	return f
}

// give sends f to init and returns the number that the plan has for it.
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
	if p.FS != nil {
		for i := range p.FS.Mounts {
			if m := &p.FS.Mounts[i]; m.Bind && l.cfg.Trees[m.Dest] != nil {
				m.FD = l.give(l.cfg.Trees[m.Dest])
			}
		}
	}
	if l.cfg.Gate != nil {
		p.Gate = l.give(l.cfg.Gate)
	}
	if l.cfg.Held != nil {
		p.Held = l.give(l.cfg.Held)
	}
	if p.FS != nil {
		l.giveTrees()
	}
	if (p.NewUser || l.joins(kern.NewUser)) && p.FS != nil {
		if err := l.openSources(); err != nil {
			return err
		}
	}
	l.giveExtra()
	return nil
}

// giveExtra comes last: those descriptors follow each other.
func (l *launch) giveExtra() {
	l.blueprint.plan.Process.ExtraFD = len(l.files)
	for _, f := range l.cfg.ExtraFiles {
		l.give(f)
	}
}

// openNamespaces sorts the namespaces to join: init itself can enter most of
// them, on its one thread. A process enters no pid namespace, only its children
// do, and no user namespace once it has threads; and from inside a new user
// namespace those of the old one are closed. All these come before init exists.
func (l *launch) openNamespaces() error {
	p := &l.blueprint.plan
	early := p.NewUser || l.joins(kern.NewPID) || l.joins(kern.NewUser)
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

func (l *launch) joins(flag int) bool {
	return slices.ContainsFunc(l.join, func(n nsPath) bool { return n.flag == flag })
}

// giveTrees hands the caller's mounts over.
func (l *launch) giveTrees() {
	fs := l.blueprint.plan.FS
	for i := range fs.Mounts {
		if tree := l.cfg.Trees[fs.Mounts[i].Dest]; tree != nil && fs.Mounts[i].Bind {
			fs.Mounts[i].FD = l.give(tree)
		}
	}
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
		if !m.Bind || m.FD != plan.NoFD {
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

// sow takes the caller's seed where that has the right namespaces, or makes one.
func (l *launch) sow() (err error) {
	clone, cgroup := l.blueprint.clone, l.cfg.Cgroup
	if l.cfg.Seed.Fits(clone, l.early, cgroup) {
		l.seed = l.cfg.Seed.Take()
	} else if l.seed, err = seed.Sow(clone, l.early, cgroup); err != nil {
		return err
	}
	l.init, l.text = &Container{PID: l.seed.PID(), proc: l.seed.Child, sync: l.seed.Sync}, l.seed.Plan
	return nil
}

// brief gives init what it waits for: its ids, its descriptors and the plan.
func (l *launch) brief() error {
	p, init := &l.blueprint.plan, l.init
	var err error
	if p.TimerSlack, err = sys.TimerSlack(); err != nil {
		return fmt.Errorf("find out timer slack: %w", err)
	}
	if p.NewUser {
		if err := writeMaps(init.PID, l.cfg.Spec.Linux); err != nil {
			return err
		}
	}
	if p.Process.Reaper {
		p.Process.SelfFD = l.give(l.seed.Self)
	}
	if err := l.filter(p); err != nil {
		return err
	}
	data, err := pack.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode plan: %w", err)
	}
	if len(data) > plan.MaxSize {
		return fmt.Errorf("encode plan: %d bytes are more than %d", len(data), plan.MaxSize)
	}
	if _, err := l.text.Write(data); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	for files := range slices.Chunk(l.files, kern.MaxRights) {
		if err := init.send(plan.Message{Kind: plan.Files}, files...); err != nil {
			return err
		}
	}
	return init.send(plan.Message{Kind: plan.Go})
}

func (l *launch) filter(p *plan.Plan) error {
	f, linux := l.cfg.Filter, l.cfg.Spec.Linux
	if f == nil && linux != nil && linux.Seccomp != nil {
		var err error
		if f, err = seccomp.Compile(linux.Seccomp); err != nil {
			return fmt.Errorf("linux.seccomp: %w", err)
		}
	}
	if f == nil {
		return nil
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
