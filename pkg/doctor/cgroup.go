package doctor

import (
	"fmt"
	"path"
	"strings"

	"github.com/nook-containers/nook/pkg/problem/remedy"
)

// Cgroups checks for control groups of version 2 and for the controllers that are
// the user's to give to containers (kernel doc "Control Group v2", "Delegation").
func Cgroups(h *Host) []Result {
	const check = "cgroups"
	mount, root, v1 := cgroupMounts(h.Read("/proc/self/mountinfo"))
	const means = "Limits of processor, memory and processes are refused."
	if mount == "" {
		return []Result{{
			Check: check, Level: Warning, Found: "cgroup v2 is not mounted", Means: means,
			Advice: "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line",
		}}
	}
	dir := h.delegated(mount, root)
	if dir == "" {
		advice := "have root give you a directory of it, with its files, and start nook in there"
		if h.Exists("/run/systemd/system") {
			advice = "log in with a session of systemd's: see service-manager"
		}
		return []Result{{Check: check, Level: Warning, Found: "no part of the cgroup tree is yours", Means: means, Advice: advice}}
	}
	have := strings.Fields(h.Read(path.Join(dir, "cgroup.controllers")))
	missing := lacking(have, "cpu", "memory", "pids")
	switch {
	case len(missing) > 0 && v1:
		return []Result{{
			Check: check, Level: Warning, Found: fmt.Sprintf("cgroup v1 has the controllers %s", strings.Join(missing, ", ")), Means: means,
			Advice: "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line",
		}}
	case len(missing) > 0:
		return []Result{{
			Check: check, Level: Warning, Found: fmt.Sprintf("the controllers %s are not delegated to you (%s)", strings.Join(missing, ", "), dir),
			Means: means + " After the change, log out of all sessions and in again.", Fix: remedy.Delegate(),
		}}
	}
	if missing := lacking(have, "cpuset", "io"); len(missing) > 0 {
		return []Result{{
			Check: check, Level: OK, Found: "v2 with " + strings.Join(have, ", "),
			Means: fmt.Sprintf("Limits that need the controllers %s are refused.", strings.Join(missing, ", ")), Fix: remedy.Delegate(),
		}}
	}
	return []Result{Fine(check, "v2 with %s", strings.Join(have, ", "))}
}

func lacking(have []string, want ...string) (missing []string) {
	for _, w := range want {
		if !strings.Contains(" "+strings.Join(have, " ")+" ", " "+w+" ") {
			missing = append(missing, w)
		}
	}
	return missing
}

// cgroupMounts finds version 2 in proc_pid_mountinfo(5): where it is mounted, and
// which of its directories; and whether version 1 is there too.
func cgroupMounts(mountinfo string) (mount, root string, v1 bool) {
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
			mount, root = f[4], f[3]
		}
	}
	return mount, root, v1
}

// delegated is the directory that the user may divide among containers: that of
// their systemd, else the one that this process is in.
func (h *Host) delegated(mount, root string) string {
	slice := fmt.Sprintf("%s/user.slice/user-%d.slice/user@%d.service", mount, h.UID, h.UID)
	if h.Exists(slice) {
		return slice
	}
	for line := range strings.Lines(h.Read("/proc/self/cgroup")) {
		own, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok || strings.HasPrefix(own, "/..") {
			continue
		}
		if root != "/" {
			own = strings.TrimPrefix(own, root)
		}
		dir := path.Join(mount, own)
		if _, may := h.MayOpen(path.Join(dir, "cgroup.procs")); may {
			return dir
		}
	}
	return ""
}
