package ocispec

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
)

// ErrSysctl means a sysctl belongs to the host, not to the container.
var ErrSysctl = errors.New("sysctl is not separate for this container")

// maskedPaths shows the union of what Docker and podman hide: files that tell
// about the host or its hardware.
func maskedPaths() []string {
	return []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware", "/sys/fs/selinux",
	}
}

func readonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// buildHidden applies --security-opt mask= and unmask=. An unmask pattern is a
// path with shell wildcards, or ALL.
func buildHidden(in Input) (masked, readonly []string) {
	sec := in.Spec.Security
	if in.Spec.Privileged {
		return sec.Mask, nil
	}
	masked = slices.Concat(maskedPaths(), in.Host.Masked)
	if in.Spec.Network == NetworkHost { // then /sys is the host's, with what is mounted there
		masked = append(masked, "/sys/kernel")
	}
	readonly = readonlyPaths()
	shown := func(p string) bool {
		return slices.ContainsFunc(sec.Unmask, func(pattern string) bool {
			ok, err := path.Match(pattern, p)
			return pattern == spec.UnmaskAll || err == nil && ok
		})
	}
	masked = slices.DeleteFunc(masked, shown)
	readonly = slices.DeleteFunc(readonly, shown)
	for _, p := range sec.Mask {
		if !slices.Contains(masked, p) {
			masked = append(masked, p)
		}
	}
	return masked, readonly
}

// buildSysctls adds what makes ping and low ports work without privilege inside
// a network namespace of the container's own.
func buildSysctls(in Input) (map[string]string, error) {
	ownNet := own(in.Spec.Network)
	out := map[string]string{}
	if ownNet {
		out["net.ipv4.ip_unprivileged_port_start"] = "0"
		out["net.ipv4.ping_group_range"] = "0 " + strconv.FormatUint(uint64(min(in.Host.MaxGID, 1<<31-1)), 10)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Spec.Sysctls)) {
		key := strings.ReplaceAll(name, "/", ".")
		if err := checkSysctl(key, in.Spec); err != nil {
			return nil, err
		}
		out[key] = in.Spec.Sysctls[name]
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// CheckSysctls finds sysctls of c that are not of a namespace of its own.
func CheckSysctls(c spec.Container) error {
	_, err := buildSysctls(Input{Spec: c})
	return err
}

// checkSysctl accepts what namespaces(7) separates: ipc_namespaces(7) and
// network_namespaces(7) list the names.
func checkSysctl(key string, c spec.Container) error {
	what, mode := "", ""
	switch key {
	case "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
		"kernel.shmmni", "kernel.shm_rmid_forced":
		what, mode = "ipc namespace", c.IPC
	case "kernel.domainname":
		what, mode = "host name", c.UTS
	}
	switch {
	case strings.HasPrefix(key, "net."):
		what, mode = "network", c.Network
	case strings.HasPrefix(key, "fs.mqueue."):
		what, mode = "ipc namespace", c.IPC
	}
	if what != "" {
		if !own(mode) {
			return notOurs(key, what, mode)
		}
		return nil
	}
	switch key {
	case "kernel.hostname":
		return fmt.Errorf("%s: %w; use --hostname", key, ErrSysctl)
	}
	return fmt.Errorf("%s: %w", key, ErrSysctl)
}
