package ocispec

import (
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/spec"
)

// DefaultShmSize is /dev/shm's size in bytes, as Docker's and podman's.
const DefaultShmSize = 64 << 20

// ttyGID is the group of terminals in nearly every image; the runtime leaves it
// out where it is not mapped.
const ttyGID = 5

// buildMounts lists the default file systems and the user's, parents before
// children. A user's mount on a default target replaces the default.
func buildMounts(in Input) []specs.Mount {
	var asked []specs.Mount
	taken := map[string]bool{}
	for _, m := range userMounts(in) {
		asked = append(asked, m)
		taken[m.Destination] = true
	}
	all := slices.DeleteFunc(defaultMounts(in), func(m specs.Mount) bool { return taken[m.Destination] })
	all = append(all, asked...)
	slices.SortStableFunc(all, func(a, b specs.Mount) int {
		return strings.Count(a.Destination, "/") - strings.Count(b.Destination, "/")
	})
	return all
}

func defaultMounts(in Input) []specs.Mount {
	m := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: append([]string{"nosuid", "noexec", "nodev"}, in.Spec.Security.ProcOptions...)},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		sysMount(in),
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{
			"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=" + strconv.Itoa(ttyGID),
		}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
	}
	m = append(m, shmMount(in)...)
	m = append(m, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}})
	if in.Spec.Privileged || in.Spec.Security.WritableCgroups || spec.Systemd(in.Spec, in.Image) {
		writable(m, "/sys/fs/cgroup")
	}
	if in.Spec.ReadOnlyAll {
		readonly(m, "/dev", ShmDir)
	}
	if in.Spec.Privileged {
		writable(m, "/sys")
		m = append(m, devices(in.Host.Devices)...)
	}
	for _, f := range []struct{ host, target string }{
		{in.Files.Hosts, "/etc/hosts"},
		{in.Files.Hostname, "/etc/hostname"},
		{in.Files.ResolvConf, "/etc/resolv.conf"},
		{in.Files.Passwd, "/etc/passwd"},
		{in.Files.Group, "/etc/group"},
		{in.Files.LocalTime, "/etc/localtime"},
		{in.Files.ContainerEnv, "/run/.containerenv"},
	} {
		if f.host != "" {
			m = append(m, specs.Mount{Destination: f.target, Type: "bind", Source: f.host, Options: []string{"bind", "rprivate", "nosuid", "nodev", "noexec"}})
		}
	}
	return m
}

// ShmDir is where programs find shared memory (shm_overview(7)). It goes with the
// ipc namespace.
const ShmDir = "/dev/shm"

// shmMount is a file system of the container's own, or the one of those that its
// ipc namespace is shared with: the caller has that of another container.
func shmMount(in Input) []specs.Mount {
	size := in.Spec.ShmSize
	if size == 0 {
		size = DefaultShmSize
	}
	switch {
	case in.Spec.IPC == spec.IPCNone:
		return nil
	case !own(in.Spec.IPC):
		return []specs.Mount{{Destination: ShmDir, Type: "bind", Source: ShmDir, Options: []string{"rbind", "rprivate", "nosuid", "noexec", "nodev"}}}
	}
	return []specs.Mount{{Destination: ShmDir, Type: "tmpfs", Source: "shm", Options: []string{
		"nosuid", "noexec", "nodev", "mode=1777", "size=" + strconv.FormatInt(size, 10),
	}}}
}

// readonly adds "ro" to the new file systems on targets.
func readonly(mounts []specs.Mount, targets ...string) {
	for i, m := range mounts {
		if m.Type == "tmpfs" && slices.Contains(targets, m.Destination) {
			mounts[i].Options = append(m.Options, "ro")
		}
	}
}

// writable takes "ro" from the mount on target.
func writable(mounts []specs.Mount, target string) {
	for i, m := range mounts {
		if m.Destination == target {
			mounts[i].Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "ro" || o == "rro" })
		}
	}
}

// devices shows nodes of the host's /dev.
func devices(paths []string) []specs.Mount {
	var out []specs.Mount
	for _, p := range paths {
		out = append(out, specs.Mount{Destination: p, Type: "bind", Source: p, Options: []string{"bind", "rprivate", "nosuid", "noexec"}})
	}
	return out
}

// memory lists the directories that are tmpfs without being asked for: where
// programs expect to write though the root is read-only, and what systemd mounts
// itself if it is not there.
func memory(in Input) []specs.Mount {
	var out []specs.Mount
	add := func(target string, opts ...string) {
		has := func(m specs.Mount) bool { return m.Destination == target }
		if !slices.ContainsFunc(out, has) && !slices.ContainsFunc(in.Spec.Mounts, func(m spec.Mount) bool { return path.Clean(m.Target) == target }) {
			out = append(out, tmpfs(target, append([]string{"nosuid", "nodev"}, opts...)))
		}
	}
	if in.Spec.ReadOnly && !in.Spec.ReadOnlyAll {
		add("/run", "mode=755", "tmpcopyup")
		add("/tmp", "mode=1777", "tmpcopyup")
		add("/var/tmp", "mode=1777", "tmpcopyup")
	}
	if spec.Systemd(in.Spec, in.Image) {
		add("/run", "mode=755", "tmpcopyup")
		add("/run/lock", "mode=1777", "tmpcopyup")
		add("/tmp", "mode=1777", "tmpcopyup")
		add("/var/log/journal", "mode=755", "tmpcopyup")
	}
	return out
}

// sysMount is a sysfs of its own, or the host's where the network is: sysfs can
// be mounted only by the owner of the network namespace (user_namespaces(7)).
func sysMount(in Input) specs.Mount {
	if in.Spec.Network == NetworkHost {
		return specs.Mount{Destination: "/sys", Type: "bind", Source: "/sys", Options: []string{"rbind", "rprivate", "rnosuid", "rnoexec", "rnodev", "rro"}}
	}
	return specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}}
}

func userMounts(in Input) []specs.Mount {
	out := memory(in)
	for _, m := range in.Spec.Mounts {
		out = append(out, userMount(in, m))
	}
	out = append(out, describedMounts(in.Described)...)
	for _, d := range in.Spec.Devices {
		if !path.IsAbs(d.Source) {
			continue // described
		}
		target := d.Target
		if target == "" {
			target = d.Source
		}
		opts := []string{"rbind", "rprivate", "nosuid", "noexec"}
		if d.Permissions != "" && !strings.Contains(d.Permissions, "w") {
			opts = append(opts, "ro")
		}
		out = append(out, specs.Mount{Destination: path.Clean(target), Type: "bind", Source: d.Source, Options: opts})
	}
	return out
}

// userMount leaves the source of volumes and images empty: they are looked up when
// the container starts.
func userMount(in Input, m spec.Mount) specs.Mount {
	target := path.Clean(m.Target)
	opts := slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool { return o == "z" || o == "Z" })
	if m.Type == spec.MountTmpfs {
		if m.ReadOnly {
			opts = append(opts, "ro")
		}
		if m.Chown {
			opts = append(opts, "uid="+strconv.FormatUint(uint64(in.User.UID), 10), "gid="+strconv.FormatUint(uint64(in.User.GID), 10))
		}
		return tmpfs(target, append([]string{"nosuid", "nodev"}, opts...))
	}
	if !slices.Contains(opts, "bind") && !slices.Contains(opts, "rbind") {
		opts = append([]string{"rbind"}, opts...)
	}
	if !slices.ContainsFunc(opts, IsPropagation) {
		opts = append(opts, "rprivate")
	}
	if m.ReadOnly {
		opts = append(opts, "ro")
	}
	source := m.Source
	if m.Type != spec.MountBind {
		source = ""
	}
	return specs.Mount{Destination: target, Type: "bind", Source: source, Options: opts}
}

func tmpfs(target string, opts []string) specs.Mount {
	return specs.Mount{Destination: target, Type: "tmpfs", Source: "tmpfs", Options: opts}
}

// IsPropagation reports whether o is a mount option that sets propagation.
func IsPropagation(o string) bool {
	switch strings.TrimPrefix(o, "r") {
	case "private", "shared", "slave", "unbindable":
		return true
	}
	return false
}
