// Package ocispec turns a resolved container into an OCI runtime spec. It is
// pure: the same input gives the same bytes on any host.
package ocispec

import (
	"errors"
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	cdi "tags.cncf.io/container-device-interface/specs-go"

	"github.com/nook-containers/nook/libpod/spec"
)

// Input is all that a runtime spec depends on.
type Input struct {
	ID    string // 64 hex digits
	Spec  spec.Container
	Image spec.ImageConfig
	User  User
	Host  Host
	Files Files
	// UIDs and GIDs map container ids to ids of nook's own user namespace. Empty:
	// the container shares that namespace.
	UIDs, GIDs []specs.LinuxIDMapping
	Joined     []specs.LinuxNamespace // of other containers, with paths; what Joins lists
	Seccomp    *specs.LinuxSeccomp    // nil: no filter
	Described  *cdi.ContainerEdits    // what the described ones of Spec.Devices need together; nil: none
}

// User is Spec.User after a look into the image's files.
type User struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"` // always holds GID
	Home   string   `json:"home"`
}

// Host is what the host adds.
type Host struct {
	Hostname string
	MaxGID   uint32   // largest group id that exists in the container
	Masked   []string // paths to hide that only this host has
	Devices  []string // nodes in /dev that the user may open, for Spec.Privileged
}

// Files are generated files and their host paths; an empty path is not mounted.
type Files struct {
	Hosts, Hostname, ResolvConf, Passwd, Group, ContainerEnv, LocalTime string
}

var (
	// ErrNoCommand means that neither the user nor the image says what to run.
	ErrNoCommand = errors.New("no command: the image has none and none was given")
	// ErrImageEnv means the image's environment is malformed. An entry without
	// "=" would take the host's value of that name (CVE-2026-57231).
	ErrImageEnv = errors.New("image has an environment entry that is not NAME=VALUE")
)

// Build computes the runtime spec for in.
func Build(in Input) (*specs.Spec, error) {
	if in.Spec.Infra {
		return buildInfra(in)
	}
	process, err := buildProcess(in)
	if err != nil {
		return nil, err
	}
	sysctls, err := buildSysctls(in)
	if err != nil {
		return nil, err
	}
	s := &specs.Spec{
		Version:     specs.Version,
		Root:        &specs.Root{Path: "rootfs", Readonly: in.Spec.ReadOnly},
		Process:     process,
		Mounts:      buildMounts(in),
		Annotations: in.Spec.Annotations,
		Linux: &specs.Linux{
			Namespaces:        append(Namespaces(in.Spec), in.Joined...),
			UIDMappings:       in.UIDs,
			GIDMappings:       in.GIDs,
			Sysctl:            sysctls,
			RootfsPropagation: "rprivate",
			Seccomp:           in.Seccomp,
		},
	}
	if own(in.Spec.UTS) {
		s.Hostname, s.Domainname = Hostname(in), in.Spec.Domainname
	}
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = buildHidden(in)
	s.Hooks, err = describedHooks(in.Described)
	return s, err
}

// Hostname is the container's: asked for, the host's own on the host's network or
// with its names, else the first 12 digits of the id.
func Hostname(in Input) string {
	switch {
	case in.Spec.Hostname != "":
		return in.Spec.Hostname
	case in.Spec.Network == NetworkHost, in.Spec.UTS == spec.NSHost:
		return in.Host.Hostname
	}
	return in.ID[:min(12, len(in.ID))]
}

// Network modes.
const (
	NetworkNone = "none"
	NetworkHost = "host"
)

// Command is what the container executes: the entrypoint, then the arguments. An
// entrypoint given by the user drops the image's CMD.
func Command(c spec.Container, img spec.ImageConfig) ([]string, error) {
	entry, args := img.Entrypoint, img.Cmd
	if c.Entrypoint != nil {
		entry, args = *c.Entrypoint, nil
	}
	if len(c.Args) > 0 {
		args = c.Args
	}
	cmd := append(append([]string(nil), entry...), args...)
	if len(cmd) == 0 {
		return nil, ErrNoCommand
	}
	return cmd, nil
}

func checkImageEnv(env []string) error {
	for _, e := range env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return fmt.Errorf("%w: %q", ErrImageEnv, e)
		}
	}
	return nil
}
