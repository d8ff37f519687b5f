package cgroups

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/doctor"
)

// TestExamine fakes the tree with files.
func TestExamine(t *testing.T) {
	const (
		unit = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/"
		own  = "0::/user.slice/user-1000.slice/session-1.scope\n"
	)
	for name, tc := range map[string]struct {
		mounts, own, dir, controllers string
		systemd                       bool
		level                         doctor.Level
		found, fix                    string
	}{
		"all":              {mounts: unifiedMount, own: own, dir: unit, controllers: "cpuset cpu io memory pids", level: doctor.OK, found: "v2 with cpuset, cpu"},
		"no cpuset":        {mounts: unifiedMount, own: own, dir: unit, controllers: "cpu io memory pids", level: doctor.OK, found: "v2 with cpu", fix: "Delegate=cpu cpuset"},
		"no cpu":           {mounts: unifiedMount, own: own, dir: unit, controllers: "memory pids", level: doctor.Warning, found: "controllers cpu are not delegated", fix: "sudo systemctl daemon-reload"},
		"none":             {mounts: unifiedMount, own: own, dir: unit, level: doctor.Warning, found: "cpu, memory, pids are not delegated", fix: "Delegate=cpu cpuset io memory pids"},
		"hybrid":           {mounts: hybridMounts, own: own, dir: strings.Replace(unit, "cgroup/", "cgroup/unified/", 1), level: doctor.Warning, found: "v1 has the controllers cpu, memory, pids", fix: "unified_cgroup_hierarchy=1"},
		"v1":               {mounts: "31 22 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw\n", own: own, level: doctor.Warning, found: "v2 is not mounted", fix: "unified_cgroup_hierarchy=1"},
		"nothing of ours":  {mounts: unifiedMount, own: own, level: doctor.Warning, found: "no part of the cgroup tree", fix: "have root give you"},
		"no session":       {mounts: unifiedMount, own: own, systemd: true, level: doctor.Warning, found: "no part of the cgroup tree", fix: "service-manager"},
		"own, no systemd":  {mounts: unifiedMount, own: "0::/mine\n", dir: "/sys/fs/cgroup/mine/", controllers: "cpu cpuset io memory pids", level: doctor.OK, found: "v2 with cpu"},
		"own, few of them": {mounts: unifiedMount, own: "0::/mine\n", dir: "/sys/fs/cgroup/mine/", controllers: "pids", level: doctor.Warning, found: "cpu, memory are not delegated to you (/sys/fs/cgroup/mine)"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write := func(path, text string) {
				t.Helper()
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			write("/proc/self/mountinfo", tc.mounts)
			write("/proc/self/cgroup", tc.own)
			if tc.dir != "" {
				write(tc.dir+available, tc.controllers)
				write(tc.dir+procs, "")
			}
			if tc.systemd {
				write("/run/systemd/system/x", "")
			}
			got := Examine(&doctor.Host{Root: root, UID: 1000})
			if len(got) != 1 || got[0].Level != tc.level || !strings.Contains(got[0].Found, tc.found) || !strings.Contains(got[0].Fix+got[0].Advice, tc.fix) {
				t.Errorf("got %+v, want %s, %q, %q", got, tc.level, tc.found, tc.fix)
			}
		})
	}
}
