package ocispec

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/spec"
)

// defaultCaps is what a container's root keeps: Docker's set less MKNOD,
// NET_RAW and AUDIT_WRITE, as podman's.
func defaultCaps() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE",
		"CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
}

// allCaps are the kernel's, by number (capabilities(7)).
func allCaps() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
		"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
		"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
		"CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
		"CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
		"CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
		"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
	}
}

// buildCaps gives root the whole set and any other user none of it beyond the
// bounding set. What --cap-add names reaches other users too, as ambient
// capabilities: without that, execve would drop it and the flag would do nothing.
func buildCaps(in Input) (*specs.LinuxCapabilities, error) {
	bounding, added, err := Capabilities(CapAdd(in.Spec), in.Spec.CapDrop)
	if err != nil {
		return nil, err
	}
	if in.User.UID == 0 {
		return &specs.LinuxCapabilities{Bounding: bounding, Effective: bounding, Permitted: bounding}, nil
	}
	return &specs.LinuxCapabilities{
		Bounding: bounding, Effective: added, Permitted: added, Inheritable: added, Ambient: added,
	}, nil
}

// CapAdd is what --cap-add names, and all for a privileged container.
func CapAdd(c spec.Container) []string {
	if c.Privileged {
		return append([]string{"ALL"}, c.CapAdd...)
	}
	return c.CapAdd
}

// Capabilities applies --cap-add and --cap-drop to the default set. ALL stands
// for every capability; a name in both lists is an error. It returns the whole
// set, and the part that was added by name, both sorted.
func Capabilities(add, drop []string) (set, added []string, err error) {
	add, addAll, err := capNames(add)
	if err != nil {
		return nil, nil, err
	}
	drop, dropAll, err := capNames(drop)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range add {
		if slices.Contains(drop, c) {
			return nil, nil, fmt.Errorf("capability %s: both added and dropped", c)
		}
	}
	base := defaultCaps()
	switch {
	case addAll && dropAll:
		return nil, nil, fmt.Errorf("capability ALL: both added and dropped")
	case addAll:
		base = allCaps()
	case dropAll:
		base = nil
	}
	set = slices.Concat(base, add)
	set = slices.DeleteFunc(set, func(c string) bool { return slices.Contains(drop, c) })
	slices.Sort(set)
	slices.Sort(add)
	return slices.Compact(set), slices.Compact(add), nil
}

func capNames(in []string) (names []string, all bool, err error) {
	for _, n := range in {
		n = strings.ToUpper(n)
		if n == "ALL" {
			all = true
			continue
		}
		if !strings.HasPrefix(n, "CAP_") {
			n = "CAP_" + n
		}
		if !slices.Contains(allCaps(), n) {
			return nil, false, fmt.Errorf("capability %s: unknown; see capabilities(7)", strings.TrimPrefix(n, "CAP_"))
		}
		names = append(names, n)
	}
	return names, all, nil
}
