package stage

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// build makes the container's file system and changes into it.
func (s *setup) build() error {
	if s.FS == nil {
		return s.writeSysctls()
	}
	prop := uintptr(syscall.MS_REC | syscall.MS_PRIVATE)
	if s.FS.Slave {
		prop = syscall.MS_REC | syscall.MS_SLAVE
	}
	if err := kern.Propagation("/", prop); err != nil {
		return at("separate mounts from the host's", "/", err)
	}
	// Before anything hides the host's files.
	if err := s.writeSysctls(); err != nil {
		return err
	}
	if err := s.attachRoot(); err != nil {
		return err
	}
	for _, name := range []string{"dev", "proc", "sys"} {
		if err := s.refuseLink(name); err != nil {
			return err
		}
	}
	for i := range s.FS.Mounts {
		if err := s.mount(&s.FS.Mounts[i]); err != nil {
			return at("mount", s.FS.Mounts[i].Dest, err)
		}
	}
	if err := s.devices(); err != nil {
		return err
	}
	if err := s.console(); err != nil {
		return err
	}
	return s.finishRoot()
}

func (s *setup) finishRoot() error {
	if s.FS.DevReadonly {
		if err := s.protectDev(); err != nil {
			return at("make read-only", "/dev", err)
		}
	}
	for _, p := range s.FS.ReadonlyPaths {
		if err := s.readonlyPath(p); err != nil {
			return at("make read-only", p, err)
		}
	}
	for _, p := range s.FS.Masked {
		if err := s.maskPath(p); err != nil {
			return at("mask", p, err)
		}
	}
	for i := range s.Hooks.CreateContainer {
		if err := s.hook("createContainer", &s.Hooks.CreateContainer[i], "creating"); err != nil {
			return err
		}
	}
	if err := s.makeCwd(); err != nil {
		return err
	}
	if s.FS.Readonly {
		if err := kern.SetAttr(s.rootFD, kern.Attr{Set: kern.AttrReadonly}); err != nil {
			return at("make read-only", "/", err)
		}
	}
	if err := kern.Fchdir(s.rootFD); err != nil {
		return at("enter", "root file system", err)
	}
	if err := kern.PivotHere(); err != nil {
		return at("pivot_root", "root file system", err)
	}
	if s.FS.Propagation != 0 {
		return at("set propagation", "/", kern.Propagation("/", s.FS.Propagation))
	}
	return nil
}

// protectDev makes /dev read-only, and nothing that is mounted in it.
func (s *setup) protectDev() error {
	dev, err := s.target("/dev", true)
	if err != nil {
		return err
	}
	defer kern.Close(dev)
	return kern.SetAttr(dev, kern.Attr{Set: kern.AttrReadonly})
}

// attachRoot mounts the root on top of "/". Our own root directory stays what
// is below, so host paths keep working until pivot_root, and no directory of the
// host is needed as a place to put it.
func (s *setup) attachRoot() error {
	s.rootFD = s.FS.RootFD
	if s.rootFD == plan.NoFD {
		fd, err := kern.CloneTree(kern.AtCwd, s.FS.Root, kern.Recursive)
		if err != nil {
			return at("open", "root file system "+s.FS.Root, err)
		}
		s.rootFD = fd
	}
	if err := kern.AttachAt(s.rootFD, "/"); err != nil {
		return at("mount", "root file system", err)
	}
	// A recursive copy brings the propagation of what it copies along.
	if err := kern.SetAttr(s.rootFD, kern.Attr{Propagation: syscall.MS_PRIVATE}); err != nil {
		return at("separate from the host's", "root file system", err)
	}
	return nil
}

func (s *setup) mount(m *plan.Mount) error {
	if err := s.guard(m); err != nil {
		return err
	}
	if m.Bind {
		return s.bind(m)
	}
	if s.isProc(m) {
		return s.attachProc(m)
	}
	err := s.newFS(m)
	if err == nil || !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EBUSY) {
		return err
	}
	return s.hostInstead(m, err)
}

// isProc reports whether m is what openProc has opened already.
func (s *setup) isProc(m *plan.Mount) bool {
	return s.ownProc && m.Type == "proc" && m.Source == "proc" && m.Flags == procFlags && m.Data == "" && m.Attr.Zero() && m.RecAttr.Zero() && !m.CopyUp
}

// attachProc saves a mount, and that the kernel waits for RCU when a detached one is
// closed.
func (s *setup) attachProc(m *plan.Mount) error {
	to, err := s.target(m.Dest, true)
	if err != nil {
		return err
	}
	defer kern.Close(to)
	s.ownProc = false
	return kern.Attach(s.proc, to)
}

// hostInstead handles file systems that the kernel mounts only for the owner of
// the namespace they show. Where that is the host's (--network host and the like)
// the container sees what the host's mount shows, and can't write where that
// would be to the host. A host that shows nothing leaves an empty directory.
func (s *setup) hostInstead(m *plan.Mount, err error) error {
	host := hostPath(m.Type)
	if host == "" {
		return err
	}
	b := plan.Mount{Dest: m.Dest, Bind: true, Recursive: true, Source: host, FD: plan.NoFD}
	b.RecAttr.Set = kern.AttrNosuid | kern.AttrNodev | kern.AttrNoexec
	if m.Type == "sysfs" || m.Type == "cgroup2" {
		b.RecAttr.Set |= kern.AttrReadonly
	}
	berr := s.bind(&b)
	switch {
	case m.Type == "mqueue" && errors.Is(berr, syscall.ENOENT):
		dir, derr := s.target(m.Dest, true)
		kern.Close(dir)
		return derr
	case berr != nil:
		return fmt.Errorf("%w; bind mount of the host's %s instead: %w", err, host, berr)
	}
	return nil
}

func hostPath(fstype string) string {
	switch fstype {
	case "sysfs":
		return "/sys"
	case "cgroup2":
		return "/sys/fs/cgroup"
	case "mqueue":
		return "/dev/mqueue"
	case "proc":
		return "/proc"
	}
	return ""
}

// newFS mounts a new file system. It is put on the working directory, so that
// the descriptor, not a path, says where.
func (s *setup) newFS(m *plan.Mount) error {
	dir, err := s.target(m.Dest, true)
	if err != nil {
		return err
	}
	defer kern.Close(dir)
	if err := kern.Fchdir(dir); err != nil {
		return err
	}
	flags := m.Flags
	if m.CopyUp {
		flags &^= syscall.MS_RDONLY
	}
	err = kern.MountHere(m.Source, m.Type, flags, m.Data)
	if m.Type == "devpts" && errors.Is(err, syscall.EINVAL) {
		if data, had := dropOption(m.Data, "gid="); had { // tty's group is not mapped
			err = kern.MountHere(m.Source, m.Type, flags, data)
		}
	}
	if err != nil {
		return err
	}
	if m.Attr.Zero() && m.RecAttr.Zero() && !m.CopyUp {
		return nil
	}
	return s.finishFS(m, dir)
}

// finishFS does what needs the new file system opened; below is what it hides.
func (s *setup) finishFS(m *plan.Mount, below int) error {
	mnt, err := s.target(m.Dest, true)
	if err != nil {
		return err
	}
	defer kern.Close(mnt)
	a := m.Attr
	if m.CopyUp {
		err := copyUp(below, mnt)
		if err == nil && !strings.Contains(m.Data, "mode=") {
			err = copyDirMeta(below, mnt)
		}
		if err != nil {
			return fmt.Errorf("copy up: %w", err)
		}
		if m.Flags&syscall.MS_RDONLY != 0 {
			a.Set |= kern.AttrReadonly
		}
	}
	return setAttrs(mnt, a, m.RecAttr)
}

func dropOption(data, prefix string) (rest string, had bool) {
	var keep []string
	for o := range strings.SplitSeq(data, ",") {
		if strings.HasPrefix(o, prefix) {
			had = true
			continue
		}
		keep = append(keep, o)
	}
	return strings.Join(keep, ","), had
}

// bind attaches a copy of a host tree. The copy gets its attributes while it is
// still detached, so it is never visible without them.
func (s *setup) bind(m *plan.Mount) error {
	tree := m.FD
	if tree == plan.NoFD {
		var opts []kern.TreeOpt
		if m.Recursive {
			opts = append(opts, kern.Recursive)
		}
		fd, err := kern.CloneTree(kern.AtCwd, m.Source, opts...)
		if err != nil {
			return fmt.Errorf("source %s: %w", m.Source, err)
		}
		tree = fd
	}
	defer kern.Close(tree)
	st, err := kern.Stat(tree)
	if err != nil {
		return err
	}
	if err := s.guardBind(m, tree); err != nil {
		return err
	}
	if err := setAttrs(tree, m.Attr, m.RecAttr); err != nil {
		return fmt.Errorf("set options: %w", err)
	}
	to, err := s.target(m.Dest, kern.IsDir(st.Mode))
	if err != nil {
		return err
	}
	defer kern.Close(to)
	return kern.Attach(tree, to)
}

func setAttrs(mnt int, a, rec plan.Attr) error {
	if !rec.Zero() {
		if err := setAttr(mnt, rec, kern.Recursive); err != nil {
			return err
		}
	}
	if a.Zero() {
		return nil
	}
	return setAttr(mnt, a)
}

// setAttr leaves alone what the host's mount is locked with (mount_namespaces(7)):
// a restriction stays, whatever "rw" and the like say, and so do access times.
func setAttr(mnt int, a plan.Attr, opts ...kern.TreeOpt) error {
	err := kern.SetAttr(mnt, kern.Attr(a), opts...)
	if !errors.Is(err, syscall.EPERM) || a.Clear == 0 {
		return err
	}
	a.Clear = 0
	a.Set &^= kern.AttrAtimeMask | kern.AttrNodiratime
	if a.Zero() {
		return nil
	}
	return kern.SetAttr(mnt, kern.Attr(a), opts...)
}

// guard refuses to hide /proc and /sys behind something else: security settings
// are written and read there (CVE-2019-16884, CVE-2023-27561).
func (s *setup) guard(m *plan.Mount) error {
	switch {
	case m.Dest == "/":
		return errors.New("would hide the root file system")
	case m.Bind:
		return nil // guardBind looks at the source itself
	case m.Dest == "/proc" && m.Type != "proc", m.Dest == "/sys" && m.Type != "sysfs":
		return fmt.Errorf("only a %s may be mounted there", path.Base(m.Dest))
	case strings.HasPrefix(m.Dest, "/proc/"):
		return errors.New("nothing may be mounted inside /proc")
	}
	return nil
}

func (s *setup) guardBind(m *plan.Mount, tree int) error {
	var magic int64
	switch {
	case m.Dest == "/proc":
		magic = kern.ProcMagic
	case m.Dest == "/sys":
		magic = kern.SysfsMagic
	case strings.HasPrefix(m.Dest, "/proc/"):
		if replaceable(m.Dest) {
			return nil
		}
		return errors.New("nothing may be mounted inside /proc")
	default:
		return nil
	}
	got, err := kern.FSMagic(tree)
	if err != nil {
		return err
	}
	st, err := kern.Stat(tree)
	if err != nil {
		return err
	}
	top, err := isTop(magic, st.Ino)
	if err != nil {
		return err
	}
	if got != magic || !top {
		return fmt.Errorf("only a whole %s file system may be mounted there", path.Base(m.Dest))
	}
	return nil
}

// isTop tells the top directory of procfs (PROC_ROOT_INO) and sysfs by its inode.
func isTop(magic int64, ino uint64) (bool, error) {
	if magic == kern.ProcMagic {
		return ino == 1, nil
	}
	st, err := kern.StatIn(kern.AtCwd, "/sys")
	return st.Ino == ino, err
}

// replaceable lists files of /proc that tools such as lxcfs stand in for: facts
// about the machine, none of them a setting.
func replaceable(dest string) bool {
	switch dest {
	case "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps",
		"/proc/uptime", "/proc/loadavg", "/proc/slabinfo":
		return true
	}
	return false
}
