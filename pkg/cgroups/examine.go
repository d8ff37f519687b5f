package cgroups

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nook-containers/nook/pkg/doctor"
	"github.com/nook-containers/nook/pkg/problem/remedy"
)

// Share is what of the tree a user's containers can have.
type Share struct {
	Layout      Layout
	Manager     bool     // the user's systemd gives it out
	Dir         string   // "" where there is none
	Controllers []string // of Dir
}

// ShareOf looks for it on the host that h shows.
func ShareOf(h *doctor.Host) Share {
	at := locate(h.Read("/proc/self/mountinfo"), h.Read("/proc/self/cgroup"))
	s := Share{Layout: at.Layout}
	if at.Mount == "" {
		return s
	}
	manager, ok := at.Dir(fmt.Sprintf("/user.slice/user-%d.slice/user@%d.service", h.UID, h.UID))
	if ok && h.Exists(manager) {
		s.Manager, s.Dir = true, manager
	} else {
		at.claim(func(dir string) bool { return mayManage(h.Path(dir)) }, func(dir string) bool { return isDelegated(h.Path(dir)) })
		s.Dir = at.Base
	}
	if s.Dir != "" {
		s.Controllers = strings.Fields(h.Read(filepath.Join(s.Dir, available)))
	}
	return s
}

// lacking returns those of want that are not there.
func (s Share) lacking(want ...string) []string {
	return slices.DeleteFunc(want, func(c string) bool { return slices.Contains(s.Controllers, c) })
}

// Examine is what "nook doctor" says about control groups.
func Examine(h *doctor.Host) []doctor.Result {
	const unified = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"
	s := ShareOf(h)
	r := doctor.Result{Check: "cgroups", Level: doctor.Warning, Means: "Limits of processor, memory and processes are refused."}
	missing := s.lacking("cpu", "memory", "pids")
	rest := s.lacking("cpuset", "io")
	switch {
	case s.Layout == None || s.Layout == Legacy:
		r.Found, r.Advice = "cgroup v2 is not mounted", unified
	case s.Dir == "":
		r.Found, r.Advice = "no part of the cgroup tree is yours", "have root give you a directory of it, with its files, and start nook in there"
		if h.Exists("/run/systemd/system") {
			r.Advice = "log in with a session of systemd's: see service-manager"
		}
	case len(missing) > 0 && s.Layout == Hybrid:
		r.Found, r.Advice = "cgroup v1 has the controllers "+strings.Join(missing, ", "), unified
	case len(missing) > 0:
		r.Found = fmt.Sprintf("the controllers %s are not delegated to you (%s)", strings.Join(missing, ", "), s.Dir)
		r.Means += " After the change, log out of all sessions and in again."
		r.Fix = remedy.Delegate()
	case len(rest) > 0:
		r.Level, r.Found = doctor.OK, "v2 with "+strings.Join(s.Controllers, ", ")
		r.Means, r.Fix = fmt.Sprintf("Limits that need the controllers %s are refused.", strings.Join(rest, ", ")), remedy.Delegate()
	default:
		return []doctor.Result{doctor.Fine("cgroups", "v2 with %s", strings.Join(s.Controllers, ", "))}
	}
	return []doctor.Result{r}
}
