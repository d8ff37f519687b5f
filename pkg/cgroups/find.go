package cgroups

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// Layout says which versions of control groups a host has.
type Layout string

// Layouts.
const (
	Unified Layout = "v2"     // cgroup v2 alone
	Hybrid  Layout = "hybrid" // v2 without the controllers that v1 has
	Legacy  Layout = "v1"
	None    Layout = "none" // not mounted, or out of sight
)

// Host is where this process is in the tree of control groups.
type Host struct {
	Layout Layout
	Mount  string // where cgroup v2 is mounted; empty: nowhere
	Own    string // directory of this process's group; empty: out of sight

	// Base is the directory below which groups may be made, Own or above it;
	// empty: there is none.
	Base string

	// Managed says that Own belongs to a unit of the user's systemd, and nothing says
	// that it has delegated it: new groups are systemd's to make. A manager of a user
	// may leave no mark, so that only it can tell; see Delegate.
	Managed bool

	root string // of the mount, in the terms of /proc/PID/cgroup
}

// Dir returns the directory of a group that /proc/PID/cgroup or systemd names; ok is
// false where it is out of sight.
func (h *Host) Dir(group string) (dir string, ok bool) {
	if h.Mount == "" {
		return "", false
	}
	rel, ok := below(h.root, group)
	return filepath.Join(h.Mount, rel), ok
}

// DirOf returns the directory of the group that a process is in.
func (h *Host) DirOf(pid int) (string, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return "", fmt.Errorf("find the control group of process %d: %w", pid, err)
	}
	dir, ok := h.Dir(unifiedPath(string(data)))
	if !ok {
		return "", fmt.Errorf("the control group of process %d is out of sight", pid)
	}
	return dir, nil
}

// unifiedPath is the entry of version 2 in /proc/PID/cgroup, "" without one.
func unifiedPath(s string) string {
	for line := range strings.Lines(s) {
		if p, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "0::"); ok {
			return strings.TrimSuffix(p, " (deleted)")
		}
	}
	return ""
}

// Find looks at /proc and the cgroup file system.
func Find() (Host, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return Host{}, fmt.Errorf("find control groups: %w", err)
	}
	h := Host{Layout: Unified, Mount: usualMount, root: "/"}
	if isWhole(usualMount) {
		h.find(string(own))
	} else {
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return Host{}, fmt.Errorf("find control groups: %w", err)
		}
		h = locate(string(mounts), string(own))
	}
	h.claim(mayManage, isDelegated)
	return h, nil
}

// usualMount is where cgroup v2 is mounted alone (file-hierarchy(7)).
const usualMount = "/sys/fs/cgroup"

// isWhole reports whether all of cgroup v2 is mounted at dir, which most hosts have: the
// table of mounts need not be read then, which waits for everybody who mounts something,
// as 100 containers do that start at once.
func isWhole(dir string) bool {
	const top = 1 // the inode of a kernfs's root
	var fs syscall.Statfs_t
	var st syscall.Stat_t
	return syscall.Statfs(dir, &fs) == nil && fs.Type == kern.Cgroup2Magic && syscall.Stat(dir, &st) == nil && st.Ino == top
}

// find sets Own from /proc/self/cgroup.
func (h *Host) find(own string) {
	if dir, ok := h.Dir(unifiedPath(own)); ok {
		h.Own = dir
	}
}

// locate is Find as far as it is text: mountinfo (proc_pid_mountinfo(5)) and
// /proc/self/cgroup (cgroups(7)).
func locate(mountinfo, own string) Host {
	h, v1 := Host{Layout: None}, false
	for line := range strings.Lines(mountinfo) {
		fields, fs, ok := strings.Cut(line, " - ")
		f := strings.Fields(fields)
		if !ok || len(f) < 5 {
			continue
		}
		switch kind, _, _ := strings.Cut(fs, " "); kind {
		case "cgroup":
			v1 = true
		case "cgroup2":
			h.Mount, h.root = unescape(f[4]), unescape(f[3]) // the last one hides the others
		}
	}
	switch {
	case h.Mount != "" && v1 && !shadows(h.Mount, mountinfo):
		h.Layout = Hybrid
	case h.Mount != "":
		h.Layout = Unified
	case v1:
		h.Layout = Legacy
	}
	h.find(own)
	return h
}

// shadows reports whether cgroup v2 is mounted over the directory that the
// controllers of v1 are in: they are out of sight then, not gone.
func shadows(mount, mountinfo string) bool {
	for line := range strings.Lines(mountinfo) {
		fields, fs, _ := strings.Cut(line, " - ")
		if f := strings.Fields(fields); strings.HasPrefix(fs, "cgroup ") && len(f) >= 5 {
			if _, ok := below(mount, unescape(f[4])); !ok {
				return false
			}
		}
	}
	return true
}

// below returns p relative to root, as a path that begins with a slash.
func below(root, p string) (string, bool) {
	if root == "/" {
		return p, path.IsAbs(p) && !strings.HasPrefix(p, "/..")
	}
	rest, ok := strings.CutPrefix(p, root)
	return "/" + strings.TrimPrefix(rest, "/"), ok && (rest == "" || rest[0] == '/')
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	for _, e := range [...][2]string{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\134`, `\`}} {
		s = strings.ReplaceAll(s, e[0], e[1])
	}
	return s
}

// claim finds out what is the user's. ours reports whether groups may be made and
// processes moved in a directory, delegated whether systemd has given it away.
func (h *Host) claim(ours, delegated func(dir string) bool) {
	if h.Own == "" || !ours(h.Own) {
		return
	}
	top := h.Own
	for top != h.Mount && ours(filepath.Dir(top)) {
		top = filepath.Dir(top)
	}
	h.Base = top
	manager := userManager(h.Own)
	if manager == "" {
		return
	}
	for dir := h.Own; len(dir) > len(manager); dir = filepath.Dir(dir) {
		if delegated(dir) {
			h.Base = dir
			return
		}
	}
	h.Base, h.Managed = "", true
}

// Unit is the directory of the unit, NAME.scope or NAME.service, of the user's systemd
// that Own is part of; empty: there is none. What is above it is the manager's.
func (h *Host) Unit() string {
	manager := userManager(h.Own)
	for dir := h.Own; manager != "" && len(dir) > len(manager); dir = filepath.Dir(dir) {
		if ext := filepath.Ext(dir); ext == ".scope" || ext == ".service" {
			return dir
		}
	}
	return ""
}

// Delegate says that Unit has been delegated, where its group does not tell.
func (h *Host) Delegate() { h.Base, h.Managed = h.Unit(), false }

// UnderManager reports whether Own is part of a unit of the user's systemd, delegated
// or not.
func (h *Host) UnderManager() bool { return h.Own != "" && userManager(h.Own) != "" }

// userManager returns the directory of a user's systemd that dir is below, "" if it
// is below none.
func userManager(dir string) string {
	for d := dir; d != "/" && d != "."; d = filepath.Dir(d) {
		name := filepath.Base(d)
		if strings.HasPrefix(name, "user@") && strings.HasSuffix(name, ".service") {
			return d
		}
	}
	return ""
}

// mayManage asks for what a delegation consists of (kernel doc, "Delegation").
func mayManage(dir string) bool {
	return sys.Writable(dir) && sys.WritableFile(filepath.Join(dir, procs))
}

// isDelegated reads systemd's mark of units with Delegate=yes (systemd 251 and up).
func isDelegated(dir string) bool {
	v, err := sys.Xattr(dir, "user.delegate")
	return err == nil && v == "1"
}
