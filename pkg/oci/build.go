package oci

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/oci/caps"
	"github.com/nook-containers/nook/pkg/oci/mounts"
	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// blueprint is a spec as steps: the plan for init and what only the parent can
// do. It is pure: nothing is opened yet.
type blueprint struct {
	plan  plan.Plan
	clone uintptr // CLONE_NEW* for clone(2)
	join  []nsPath
}

type nsPath struct {
	flag int
	path string
}

// newBlueprint validates c and computes what is to be done.
func newBlueprint(c *Config) (*blueprint, error) {
	if err := Validate(c.Spec); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(c.Bundle) {
		return nil, fmt.Errorf("bundle %q: not an absolute path", c.Bundle)
	}
	b := &blueprint{plan: plan.Plan{
		Bundle: c.Bundle, Gate: plan.NoFD, Held: plan.NoFD, SelfProc: plan.NoFD, KillWithParent: c.KillWithParent,
		Hostname: c.Spec.Hostname, Domainname: c.Spec.Domainname,
		State: plan.State{
			Version: specs.Version, ID: c.ID, Bundle: c.Bundle, Annotations: c.Spec.Annotations,
		},
	}}
	linux := c.Spec.Linux
	if linux == nil {
		linux = &specs.Linux{}
	}
	for _, step := range []func(*Config, *specs.Linux) error{
		b.namespaces, b.process, b.limits, b.settings, b.files, b.hooks,
	} {
		if err := step(c, linux); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *blueprint) namespaces(_ *Config, linux *specs.Linux) error {
	for _, ns := range linux.Namespaces {
		flag, err := nsFlag(ns.Type)
		if err != nil {
			return err
		}
		switch {
		case ns.Path != "":
			if !filepath.IsAbs(ns.Path) {
				return fmt.Errorf("linux.namespaces: %s: path %q is not absolute", ns.Type, ns.Path)
			}
			b.join = append(b.join, nsPath{flag, ns.Path})
		case flag == kern.NewCgroup, flag == kern.NewTime:
			// By init itself: clone would root the cgroup namespace at our
			// cgroup, not at the one init is born in; and a time namespace is
			// entered by execve, after its offsets are set.
			b.plan.Unshare |= uintptr(flag)
		default:
			b.clone |= uintptr(flag)
		}
	}
	b.plan.NewUser = b.clone&kern.NewUser != 0
	b.plan.OwnPID = b.clone&kern.NewPID != 0
	b.plan.OwnNet = b.clone&kern.NewNet != 0
	b.plan.TimeOffsets = timeOffsets(linux.TimeOffsets)
	return nil
}

// CloneFlags are the CLONE_NEW* flags that the init of a container with these
// namespaces is born with. Paths of existing namespaces are an error: they may have to
// be joined before.
func CloneFlags(namespaces []specs.LinuxNamespace) (uintptr, error) {
	b := &blueprint{}
	if err := b.namespaces(nil, &specs.Linux{Namespaces: namespaces}); err != nil {
		return 0, err
	}
	if len(b.join) > 0 {
		return 0, fmt.Errorf("linux.namespaces: %s: not new", b.join[0].path)
	}
	return b.clone, nil
}

func nsFlag(t specs.LinuxNamespaceType) (int, error) {
	switch t {
	case specs.PIDNamespace:
		return kern.NewPID, nil
	case specs.NetworkNamespace:
		return kern.NewNet, nil
	case specs.MountNamespace:
		return kern.NewMount, nil
	case specs.IPCNamespace:
		return kern.NewIPC, nil
	case specs.UTSNamespace:
		return kern.NewUTS, nil
	case specs.UserNamespace:
		return kern.NewUser, nil
	case specs.CgroupNamespace:
		return kern.NewCgroup, nil
	case specs.TimeNamespace:
		return kern.NewTime, nil
	}
	return 0, fmt.Errorf("linux.namespaces: type %q: unknown", t)
}

// timeOffsets writes the lines of /proc/PID/timens_offsets (time_namespaces(7)).
func timeOffsets(m map[string]specs.LinuxTimeOffset) string {
	var lines strings.Builder
	for _, clock := range []string{"monotonic", "boottime"} {
		if o, ok := m[clock]; ok {
			fmt.Fprintf(&lines, "%s %d %d\n", clock, o.Secs, o.Nanosecs)
		}
	}
	return lines.String()
}

func (b *blueprint) process(c *Config, _ *specs.Linux) error {
	p := c.Spec.Process
	out := plan.Process{
		Args: p.Args, Env: p.Env, Cwd: path.Clean(p.Cwd),
		UID: p.User.UID, GID: p.User.GID, Groups: p.User.AdditionalGids, KeepGroups: c.KeepGroups,
		Umask: defaultUmask, NoNewPrivs: p.NoNewPrivileges, Terminal: p.Terminal,
		Reaper: c.Reaper || c.Pause, SelfFD: plan.NoFD, Extra: len(c.ExtraFiles),
	}
	if c.Pause {
		out.Args = nil
	}
	if p.User.Umask != nil {
		out.Umask = *p.User.Umask
	}
	if p.ConsoleSize != nil {
		out.Rows, out.Cols = uint16(p.ConsoleSize.Height), uint16(p.ConsoleSize.Width)
	}
	if p.Capabilities != nil {
		var err error
		if out.Caps, err = capSets(p.Capabilities); err != nil {
			return fmt.Errorf("process.capabilities: %w", err)
		}
	}
	b.plan.Process = out
	return nil
}

// defaultUmask is what crun and runc give a command without process.user.umask.
const defaultUmask = 0o022

func capSets(c *specs.LinuxCapabilities) (plan.Caps, error) {
	var sets [5]uint64
	for i, list := range [][]string{c.Bounding, c.Effective, c.Permitted, c.Inheritable, c.Ambient} {
		mask, err := caps.Mask(list)
		if err != nil {
			return plan.Caps{}, err
		}
		sets[i] = mask
	}
	return plan.Caps{
		Bounding: sets[0], Effective: sets[1], Permitted: sets[2], Inheritable: sets[3],
		// The kernel has no ambient capability that is not inheritable and
		// permitted too; specs in the wild ask for them.
		Ambient: sets[4] & sets[3] & sets[2],
	}, nil
}

func (b *blueprint) settings(c *Config, linux *specs.Linux) error {
	for name, value := range linux.Sysctl {
		b.plan.Sysctl = append(b.plan.Sysctl, plan.Sysctl{Path: sysctlPath(name), Value: value})
	}
	slices.SortFunc(b.plan.Sysctl, func(x, y plan.Sysctl) int { return strings.Compare(x.Path, y.Path) })
	if adj := c.Spec.Process.OOMScoreAdj; adj != nil {
		b.plan.OOMScoreAdj = strconv.Itoa(*adj)
	}
	switch p := c.Spec.Process; {
	case p.ApparmorProfile != "":
		b.plan.Label = &plan.Label{File: "apparmor/exec", Value: "exec " + p.ApparmorProfile}
	case p.SelinuxLabel != "":
		b.plan.Label = &plan.Label{File: "exec", Value: p.SelinuxLabel}
	}
	return nil
}

// sysctlPath turns a name as sysctl(8) takes it into a path below /proc/sys:
// dots and slashes change places, unless a slash comes first.
func sysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '/' {
		return name
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, name)
}

func (b *blueprint) hooks(c *Config, _ *specs.Linux) error {
	h := c.Spec.Hooks
	if h == nil {
		return nil
	}
	b.plan.Hooks = plan.Hooks{
		Runtime:         len(h.Prestart)+len(h.CreateRuntime) > 0, //nolint:staticcheck // deprecated, yet to be honoured
		CreateContainer: planHooks(h.CreateContainer),
		StartContainer:  planHooks(h.StartContainer),
	}
	return nil
}

func planHooks(list []specs.Hook) []plan.Hook {
	var out []plan.Hook
	for _, h := range list {
		p := plan.Hook{Path: h.Path, Args: h.Args, Env: h.Env}
		if h.Timeout != nil {
			p.Timeout = *h.Timeout
		}
		out = append(out, p)
	}
	return out
}

// files plans the file system. Without a mount namespace of its own to build it
// in, the command gets what it joins.
func (b *blueprint) files(c *Config, linux *specs.Linux) error {
	if b.clone&kern.NewMount == 0 {
		if slices.ContainsFunc(b.join, func(n nsPath) bool { return n.flag == kern.NewMount }) {
			return nil
		}
		return errors.New("linux.namespaces: a mount namespace is required: the host's own is never changed")
	}
	fs := &plan.FS{
		RootFD: plan.NoFD, Masked: linux.MaskedPaths, ReadonlyPaths: linux.ReadonlyPaths,
		OwnDev: true,
	}
	if c.Spec.Root != nil {
		fs.Readonly = c.Spec.Root.Readonly
		fs.Root = below(c.Bundle, c.Spec.Root.Path)
	}
	if c.Root == nil && fs.Root == "" {
		return errors.New("root: missing")
	}
	prop, err := mounts.Propagation(linux.RootfsPropagation)
	if err != nil {
		return fmt.Errorf("linux.rootfsPropagation: %w", err)
	}
	fs.Propagation = prop
	fs.Slave = !strings.HasSuffix(linux.RootfsPropagation, "private")
	for i := range c.Spec.Mounts {
		m, err := planMount(c.Bundle, &c.Spec.Mounts[i])
		if err != nil {
			return fmt.Errorf("mounts: %s: %w", c.Spec.Mounts[i].Destination, err)
		}
		if m.Bind && m.Dest == "/dev" {
			fs.OwnDev = false // the host's own devices are wanted
		}
		if !m.Bind && m.Dest == "/dev" && m.Flags&syscall.MS_RDONLY != 0 {
			m.Flags &^= syscall.MS_RDONLY // the nodes are yet to be made
			fs.DevReadonly = true
		}
		fs.Mounts = append(fs.Mounts, m)
	}
	fs.Devices, err = planDevices(linux.Devices)
	b.plan.FS = fs
	return err
}

// below makes a path of the spec absolute.
func below(bundle, p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(bundle, p)
}

func planMount(bundle string, m *specs.Mount) (plan.Mount, error) {
	o, err := mounts.Parse(m.Options)
	if err != nil {
		return plan.Mount{}, err
	}
	out := plan.Mount{
		Dest: path.Clean(m.Destination), Type: m.Type, Source: m.Source, FD: plan.NoFD,
		Bind: o.Bind || m.Type == "bind", Flags: o.Flags, Data: strings.Join(o.Data, ","),
		Attr: o.Attr, RecAttr: o.RecAttr, Recursive: o.Recursive, CopyUp: o.CopyUp,
	}
	switch {
	case len(m.UIDMappings)+len(m.GIDMappings) > 0:
		return plan.Mount{}, errors.New("id-mapped mounts need real root")
	case out.CopyUp && out.Type != "tmpfs":
		return plan.Mount{}, errors.New("tmpcopyup is for tmpfs")
	case out.Bind:
		if m.Source == "" {
			return plan.Mount{}, errors.New("source is missing")
		}
		out.Source, out.Type, out.Flags = below(bundle, m.Source), "", 0
		return out, nil
	case m.Type == "":
		return plan.Mount{}, errors.New("type is missing")
	}
	if out.Source == "" {
		out.Source = m.Type
	}
	// A new file system takes flags; what is left for mount_setattr(2) is
	// propagation, which no flag expresses.
	out.Attr = plan.Attr{Propagation: o.Attr.Propagation}
	out.RecAttr = plan.Attr{Propagation: o.RecAttr.Propagation}
	if m.Type == "cgroup" { // the spec's word for whichever version the host has
		out.Type, out.Data = "cgroup2", ""
	}
	return out, nil
}

// planDevices puts those that every container has (runtime-spec,
// config-linux.md "Default Devices") before the spec's own.
func planDevices(list []specs.LinuxDevice) ([]plan.Device, error) {
	devs := []plan.Device{
		{Path: "/dev/null", Type: 'c', Major: 1, Minor: 3, Mode: 0o666},
		{Path: "/dev/zero", Type: 'c', Major: 1, Minor: 5, Mode: 0o666},
		{Path: "/dev/full", Type: 'c', Major: 1, Minor: 7, Mode: 0o666},
		{Path: "/dev/random", Type: 'c', Major: 1, Minor: 8, Mode: 0o666},
		{Path: "/dev/urandom", Type: 'c', Major: 1, Minor: 9, Mode: 0o666},
		{Path: "/dev/tty", Type: 'c', Major: 5, Minor: 0, Mode: 0o666},
	}
	for i := range list {
		d, err := planDevice(&list[i])
		if err != nil {
			return nil, fmt.Errorf("linux.devices: %s: %w", list[i].Path, err)
		}
		same := func(have plan.Device) bool { return have.Path == d.Path }
		if at := slices.IndexFunc(devs, same); at >= 0 {
			devs[at] = d
			continue
		}
		devs = append(devs, d)
	}
	return devs, nil
}

func planDevice(d *specs.LinuxDevice) (plan.Device, error) {
	const defaultMode = 0o666
	out := plan.Device{Path: path.Clean(d.Path), Mode: defaultMode}
	if !path.IsAbs(d.Path) {
		return out, errors.New("path is not absolute")
	}
	switch d.Type {
	case "c", "u":
		out.Type = 'c'
	case "b", "p":
		out.Type = d.Type[0]
	default:
		return out, fmt.Errorf("type %q: want c, u, b or p", d.Type)
	}
	const maxNumber = 1<<20 - 1 // widest field, the minor's (makedev(3))
	if d.Major < 0 || d.Minor < 0 || d.Major > maxNumber || d.Minor > maxNumber {
		return out, fmt.Errorf("device number %d:%d: out of range", d.Major, d.Minor)
	}
	out.Major, out.Minor = uint32(d.Major), uint32(d.Minor)
	if d.FileMode != nil {
		out.Mode = uint32(*d.FileMode) & 0o7777
	}
	if d.UID != nil {
		out.UID = *d.UID
	}
	if d.GID != nil {
		out.GID = *d.GID
	}
	return out, nil
}
