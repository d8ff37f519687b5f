package cgroups

import (
	"os"
	"slices"
	"testing"
)

const (
	unifiedMount = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
	hybridMounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)

func TestLocate(t *testing.T) {
	for name, tc := range map[string]struct {
		mounts, own        string
		layout             Layout
		mount, dir, parent string
	}{
		"unified":              {unifiedMount, "0::/user.slice/a\n", Unified, "/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/a", ""},
		"root":                 {unifiedMount, "0::/\n", Unified, "/sys/fs/cgroup", "/sys/fs/cgroup", ""},
		"hybrid":               {hybridMounts, "9:name=systemd:/\n1:cpu:/\n0::/a\n", Hybrid, "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/a", ""},
		"v2 over v1":           {hybridMounts + "76 60 0:38 / /sys/fs/cgroup rw - cgroup2 none rw\n", "1:cpu:/\n0::/a\n", Unified, "/sys/fs/cgroup", "/sys/fs/cgroup/a", ""},
		"v1":                   {"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", "1:cpu:/\n", Legacy, "", "", ""},
		"nothing":              {"1 1 0:1 / / rw - ext4 /dev/sda rw\n", "0::/\n", None, "", "", ""},
		"in a container":       {"30 23 0:26 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/docker/1/x\n", Unified, "/sys/fs/cgroup", "/sys/fs/cgroup/x", ""},
		"not below the mount":  {"30 23 0:26 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/docker/12\n", Unified, "/sys/fs/cgroup", "", ""},
		"out of the namespace": {unifiedMount, "0::/../other\n", Unified, "/sys/fs/cgroup", "", ""},
		"removed":              {unifiedMount, "0::/gone (deleted)\n", Unified, "/sys/fs/cgroup", "/sys/fs/cgroup/gone", ""},
		"a blank in the path":  {"30 23 0:26 / /a\\040b rw - cgroup2 x rw\n", "0::/c\n", Unified, "/a b", "/a b/c", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := locate(tc.mounts, tc.own)
			if h.Layout != tc.layout || h.Mount != tc.mount || h.Own != tc.dir {
				t.Errorf("got %s, %q, %q; want %s, %q, %q", h.Layout, h.Mount, h.Own, tc.layout, tc.mount, tc.dir)
			}
		})
	}
}

// The table of mounts and the directory alone say the same of this machine.
func TestFindAgrees(t *testing.T) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	want := locate(string(mounts), string(own))
	got, err := Find()
	if err != nil || got.Layout != want.Layout || got.Mount != want.Mount || got.Own != want.Own || got.root != want.root {
		t.Errorf("found %+v, %v; the table says %+v", got, err, want)
	}
	if isWhole(t.TempDir()) || isWhole("/proc") || isWhole("/nowhere") {
		t.Error("took something else for cgroup v2")
	}
}

func TestClaim(t *testing.T) {
	const manager = "/sys/fs/cgroup/user.slice/user-5.slice/user@5.service"
	for name, tc := range map[string]struct {
		own             string
		ours, delegated []string
		base            string
		managed         bool
	}{
		"a login session":       {own: "/sys/fs/cgroup/user.slice/user-5.slice/session-1.scope"},
		"below the manager":     {own: manager + "/app.slice/x.scope", ours: []string{manager, manager + "/app.slice", manager + "/app.slice/x.scope"}, managed: true},
		"a delegated unit":      {own: manager + "/app.slice/x.service/main", ours: []string{manager, manager + "/app.slice", manager + "/app.slice/x.service", manager + "/app.slice/x.service/main"}, delegated: []string{manager, manager + "/app.slice/x.service"}, base: manager + "/app.slice/x.service"},
		"a service of the host": {own: "/sys/fs/cgroup/system.slice/ci.service/job", ours: []string{"/sys/fs/cgroup/system.slice/ci.service", "/sys/fs/cgroup/system.slice/ci.service/job"}, base: "/sys/fs/cgroup/system.slice/ci.service"},
		"a container":           {own: "/sys/fs/cgroup", ours: []string{"/sys/fs/cgroup", "/sys/fs"}, base: "/sys/fs/cgroup"},
		"ours further up only":  {own: "/sys/fs/cgroup/a/b", ours: []string{"/sys/fs/cgroup/a"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := Host{Mount: "/sys/fs/cgroup", Own: tc.own}
			in := func(list []string) func(string) bool { return func(d string) bool { return slices.Contains(list, d) } }
			h.claim(in(tc.ours), in(tc.delegated))
			if h.Base != tc.base || h.Managed != tc.managed {
				t.Errorf("got %q, managed %v; want %q, %v", h.Base, h.Managed, tc.base, tc.managed)
			}
		})
	}
}

// TestUnit finds the unit that a manager of the user can be asked about.
func TestUnit(t *testing.T) {
	const user = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service"
	for own, want := range map[string]string{
		user + "/app.slice/one.service":                   user + "/app.slice/one.service",
		user + "/app.slice/one.service/nook.rest":         user + "/app.slice/one.service",
		user + "/user.slice/nook-1.scope/monitor":         user + "/user.slice/nook-1.scope",
		user + "/init.scope":                              user + "/init.scope",
		user + "/app.slice":                               "",
		user:                                              "",
		"/sys/fs/cgroup/system.slice/cron.service":        "",
		"/sys/fs/cgroup/user.slice/u.slice/session.scope": "",
		"": "",
	} {
		h := Host{Own: own, Managed: true}
		if got := h.Unit(); got != want {
			t.Errorf("%s: %q, want %q", own, got, want)
		}
		if h.Delegate(); h.Managed || h.Base != want {
			t.Errorf("%s delegated: %+v", own, h)
		}
	}
}
