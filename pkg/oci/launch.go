package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/cleanup"
	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/oci/seccomp"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// launch is a blueprint with everything opened that init is started with.
type launch struct {
	*blueprint
	cfg   *Config
	files []*os.File // of init, by number
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

// open opens a path for init; the parent's copy goes with close.
func (l *launch) open(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return plan.NoFD, err
	}
	l.undo.Push("close "+path, f.Close)
	return l.give(f), nil
}

func (l *launch) openFiles() error {
	p := &l.blueprint.plan
	for _, ns := range l.join {
		fd, err := l.open(ns.path)
		if err != nil {
			return fmt.Errorf("join namespace: %w", err)
		}
		p.Join = append(p.Join, plan.Join{Type: ns.flag, FD: fd})
	}
	if p.FS != nil && l.cfg.Root != nil {
		p.FS.RootFD = l.give(l.cfg.Root)
	}
	if l.cfg.Gate != nil {
		p.Gate = l.give(l.cfg.Gate)
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
	// Out of the way of init's own numbers, which are put in place before the
	// program is opened by number.
	exe, err := kern.Dup(int(l.self.Fd()), len(l.files)+1)
	if err != nil {
		kern.Close(ours)
		return nil, fmt.Errorf("keep program open: %w", err)
	}
	defer kern.Close(exe)
	attr := &syscall.SysProcAttr{Cloneflags: l.blueprint.clone}
	if l.blueprint.plan.NewUser {
		attr.AmbientCaps = allCaps() // until ids are mapped nothing else keeps them over execve
	}
	if l.cfg.Cgroup != nil {
		attr.UseCgroupFD, attr.CgroupFD = true, int(l.cfg.Cgroup.Fd())
	}
	p, err := os.StartProcess("/proc/self/fd/"+strconv.Itoa(exe), []string{plan.InitName}, &os.ProcAttr{
		Env: initEnv(), Files: l.files, Sys: attr,
	})
	if err != nil {
		kern.Close(ours)
		return nil, fmt.Errorf("clone container init: %w", err)
	}
	return &Container{PID: p.Pid, proc: p, sync: ours}, nil
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
	f, err := seccomp.Compile(linux.Seccomp)
	if err != nil {
		return fmt.Errorf("linux.seccomp: %w", err)
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
