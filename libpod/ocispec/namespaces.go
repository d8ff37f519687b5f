package ocispec

import (
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/spec"
)

// Joined returns the id of the container whose namespace mode stands for.
func Joined(mode string) (id string, ok bool) { return strings.CutPrefix(mode, spec.NSContainer) }

// own reports whether mode is a namespace of the container's own.
func own(mode string) bool {
	_, joined := Joined(mode)
	return !joined && mode != spec.NSHost && !strings.HasPrefix(mode, spec.NetworkPath+":")
}

// A Join is a namespace of another container.
type Join struct {
	Type specs.LinuxNamespaceType
	From string // id of the container
}

// Joins are the namespaces that c has of other containers, the user namespace
// first.
func Joins(c spec.Container) []Join {
	var out []Join
	if c.UserNS.From != "" {
		out = append(out, Join{specs.UserNamespace, c.UserNS.From})
	}
	for _, m := range modes(c) {
		if id, ok := Joined(m.mode); ok {
			out = append(out, Join{m.kind, id})
		}
	}
	return out
}

type mode struct {
	kind specs.LinuxNamespaceType
	mode string
}

func modes(c spec.Container) []mode {
	return []mode{
		{specs.PIDNamespace, c.PID},
		{specs.IPCNamespace, c.IPC},
		{specs.UTSNamespace, c.UTS},
		{specs.MountNamespace, ""},
		{specs.CgroupNamespace, c.CgroupNS},
		{specs.NetworkNamespace, c.Network},
	}
}

// Namespaces are those that a container has of its own. They depend on the
// request alone.
func Namespaces(c spec.Container) []specs.LinuxNamespace {
	var ns []specs.LinuxNamespace
	for _, m := range modes(c) {
		if own(m.mode) {
			ns = append(ns, specs.LinuxNamespace{Type: m.kind})
		}
	}
	if c.UserNS.Mode != spec.UserNSHost && c.UserNS.Mode != spec.UserNSPath && c.UserNS.From == "" {
		ns = append(ns, specs.LinuxNamespace{Type: specs.UserNamespace})
	}
	return ns
}

// OwnPIDs reports whether all processes of c end with its first one: they are in a
// pid namespace that is its own.
func OwnPIDs(c spec.Container) bool { return own(c.PID) }

// notOurs explains why a sysctl cannot be set.
func notOurs(key, what, mode string) error {
	if mode == spec.NSHost {
		return fmt.Errorf("%s: %w: it shares the host's %s", key, ErrSysctl, what)
	}
	return fmt.Errorf("%s: %w: it shares the %s of another container", key, ErrSysctl, what)
}

// buildInfra computes the spec of the process that holds a pod's namespaces. It
// sees no file but what it shares, and may do nothing.
func buildInfra(in Input) (*specs.Spec, error) {
	sysctls, err := buildSysctls(in)
	if err != nil {
		return nil, err
	}
	s := &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: "rootfs", Readonly: true},
		Process: &specs.Process{Args: []string{InfraCommand}, Cwd: "/", NoNewPrivileges: true},
		Linux: &specs.Linux{
			Namespaces: append(Namespaces(in.Spec), in.Joined...), UIDMappings: in.UIDs, GIDMappings: in.GIDs,
			Sysctl: sysctls, RootfsPropagation: "rprivate", Seccomp: in.Seccomp,
		},
	}
	if own(in.Spec.UTS) {
		s.Hostname = Hostname(in)
	}
	s.Mounts = []specs.Mount{
		// By it the process finds out which of its pages it can do without.
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755", "size=64k"}},
	}
	s.Mounts = append(s.Mounts, shmMount(in)...)
	return s, nil
}

// InfraCommand stands for what the process that holds a pod's namespaces does.
const InfraCommand = "pause"
