package userns

import (
	"errors"
	"math"
	"strings"
	"syscall"
	"testing"

	"github.com/nook-containers/nook/pkg/problem"
)

// healthy is a host with nothing wrong.
func healthy() Facts {
	all := []Extent{{0, 0, math.MaxUint32}}
	r := []Range{{100000, 65536}}
	h := Helper{Path: "/usr/bin/newuidmap", Setuid: true}
	return Facts{
		Identity: Identity{UID: 1000, GID: 1000, User: "alice", Local: true}, PrimaryGID: 1000,
		Map: Map{all, all}, SubIDs: SubIDs{r, r, "files"}, Free: Range{165536, 65536},
		NewUIDMap: h, NewGIDMap: h,
		UnprivilegedClone: -1, MaxUserNS: 60000, MaxMountNS: 60000, AppArmorRestrict: -1,
		Distro: "debian", Exe: "/usr/local/bin/nook",
	}
}

func TestDiagnose(t *testing.T) {
	clone := func(e error) Failure { return Failure{Step: "clone", Err: e} }
	newuidmap := func(out string) Failure {
		return Failure{Step: "newuidmap", Err: errors.New("exit status 1"), Output: out}
	}
	for name, tc := range map[string]struct {
		set  func(*Facts)
		fail Failure
		want error
		hint string
	}{
		"sysctl of Debian":  {func(f *Facts) { f.UnprivilegedClone = 0 }, clone(syscall.EPERM), ErrCloneDisabled, "kernel.unprivileged_userns_clone=1"},
		"max is 0":          {func(f *Facts) { f.MaxUserNS = 0 }, clone(syscall.ENOSPC), ErrUserNSDisabled, "user.max_user_namespaces=28633"},
		"max mnt is 0":      {func(f *Facts) { f.MaxMountNS = 0 }, clone(syscall.ENOSPC), ErrMountNSDisabled, "user.max_mnt_namespaces"},
		"limit reached":     {nil, clone(syscall.ENOSPC), ErrUserNSLimit, "user.max_user_namespaces=120000"},
		"too deep":          {nil, clone(syscall.EUSERS), ErrUserNSLimit, "lsns"},
		"no kernel support": {nil, clone(syscall.EINVAL), ErrNoKernelSupport, "CONFIG_USER_NS"},
		"AppArmor, at clone": {
			func(f *Facts) { f.AppArmorRestrict, f.AppArmorLabel = 1, "unconfined" },
			clone(syscall.EACCES), ErrAppArmor, `profile nook "/usr/local/bin/nook" flags=(unconfined)`,
		},
		"AppArmor, later": {
			func(f *Facts) { f.AppArmorRestrict, f.AppArmorLabel = 1, "unprivileged_userns (enforce)" },
			Failure{Step: "capset", Err: syscall.EPERM},
			ErrAppArmor, "apparmor_parser -r /etc/apparmor.d/nook",
		},
		"AppArmor with a profile": {
			func(f *Facts) { f.AppArmorRestrict, f.AppArmorLabel, f.Seccomp = 1, "nook (unconfined)", true },
			clone(syscall.EPERM), ErrSeccomp, "seccomp=unconfined",
		},
		"AppArmor, a strict profile": {func(f *Facts) { f.AppArmorLabel = "strict (enforce)" }, clone(syscall.EACCES), ErrProfile, `"userns,"`},
		"another security module":    {nil, clone(syscall.EACCES), ErrSecurityModule, "/sys/kernel/security/lsm"},
		"seccomp":                    {func(f *Facts) { f.Seccomp = true }, clone(syscall.EPERM), ErrSeccomp, "--security-opt seccomp=unconfined"},
		"seccomp, ENOSYS":            {func(f *Facts) { f.Seccomp = true }, clone(syscall.ENOSYS), ErrSeccomp, "seccomp"},
		"chroot":                     {func(f *Facts) { f.Chroot = true }, clone(syscall.EPERM), ErrChroot, "chroot"},
		"own uid unmapped": {
			func(f *Facts) { f.UID, f.Map.UIDs = 65534, []Extent{{0, 1000, 1}} },
			clone(syscall.EPERM), ErrUnmappedSelf, "mapped",
		},
		"anything else at clone": {nil, clone(syscall.ENOMEM), syscall.ENOMEM, "unshare --user --mount true"},

		"helper missing, Debian":  {func(f *Facts) { f.NewUIDMap = Helper{} }, newuidmap(""), ErrHelperMissing, "sudo apt-get install -y uidmap"},
		"helper missing, Alpine":  {func(f *Facts) { f.NewUIDMap, f.Distro = Helper{}, "alpine" }, newuidmap(""), ErrHelperMissing, "sudo apk add shadow-uidmap"},
		"helper missing, Rocky":   {func(f *Facts) { f.NewUIDMap, f.Distro = Helper{}, "rocky rhel centos fedora" }, newuidmap(""), ErrHelperMissing, "sudo dnf install -y shadow-utils"},
		"helper missing, Manjaro": {func(f *Facts) { f.NewUIDMap, f.Distro = Helper{}, "manjaro arch" }, newuidmap(""), ErrHelperMissing, "sudo pacman -S --noconfirm --needed shadow"},
		"helper missing, SUSE":    {func(f *Facts) { f.NewUIDMap, f.Distro = Helper{}, "opensuse-leap suse opensuse" }, newuidmap(""), ErrHelperMissing, "sudo zypper --non-interactive install shadow"},
		"helper missing, other":   {func(f *Facts) { f.NewUIDMap, f.Distro = Helper{}, "plan9" }, newuidmap(""), ErrHelperMissing, "install newuidmap"},
		"newgidmap alone": {
			func(f *Facts) { f.NewGIDMap = Helper{} },
			Failure{Step: "newgidmap", Err: syscall.ENOENT},
			ErrHelperMissing, "uidmap",
		},
		"no set-user-id": {func(f *Facts) { f.NewUIDMap.Setuid = false }, newuidmap("Operation not permitted"), ErrHelperNoPriv, "chmod u+s /usr/bin/newuidmap"},
		"file caps do":   {func(f *Facts) { f.NewUIDMap.Setuid, f.NewUIDMap.FileCaps = false, true }, newuidmap("not allowed"), ErrHelperRefused, "getsubids alice"},
		"nosuid":         {func(f *Facts) { f.NewUIDMap.NoSUID = true }, newuidmap("Operation not permitted"), ErrHelperNoSUID, "remount,suid"},
		"no_new_privs":   {func(f *Facts) { f.NoNewPrivs = true }, newuidmap("Operation not permitted"), ErrNoNewPrivs, "NoNewPrivileges"},
		"newgrp":         {func(f *Facts) { f.GID = 50 }, newuidmap("Target process is owned by a different user"), ErrGroup, `newgrp "$(id -gn alice)"`},
		"not in passwd":  {func(f *Facts) { f.GID, f.PrimaryGID = 50, -1 }, newuidmap("not allowed"), ErrHelperRefused, "getsubids"},
		"outside parent": {
			func(f *Facts) { f.Map.UIDs, f.Free = []Extent{{0, 1000, 1}, {1, 100000, 65536}}, Range{1001, 64536} },
			newuidmap("Operation not permitted"), ErrOutsideParent, "--del-subuids 100000-165535 --add-subuids 1001-65536 alice",
		},
		"outside parent, no room": {
			func(f *Facts) { f.Map.UIDs, f.Free = []Extent{{1000, 1000, 1}}, Range{} },
			newuidmap("Operation not permitted"), ErrOutsideParent, "more ids mapped",
		},
		"refused":          {nil, newuidmap("newuidmap: uid range [1-65537) -> [100000-165536) not allowed"), ErrHelperRefused, "grep -H . /etc/subuid"},
		"anything it says": {nil, newuidmap("the disk is on fire"), nil, "--map-auto true"},
	} {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			if tc.set != nil {
				tc.set(&f)
			}
			err := Diagnose(f, tc.fail)
			if tc.want != nil && !errors.Is(err, tc.want) && !strings.Contains(err.Error(), tc.want.Error()) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if tc.want == nil && !strings.Contains(err.Error(), tc.fail.Output) {
				t.Errorf("%v does not say %q", err, tc.fail.Output)
			}
			if hint := problem.HintOf(err); !strings.Contains(hint, tc.hint) || strings.Contains(hint, "\n") {
				t.Errorf("hint %q, want one line with %q", hint, tc.hint)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	if got := healthy().Problems(); len(got) > 0 {
		t.Fatalf("a healthy host has %v", got)
	}
	for name, tc := range map[string]struct {
		set  func(*Facts)
		want []error
	}{
		"no range":        {func(f *Facts) { f.SubIDs = SubIDs{} }, []error{ErrNoRange}},
		"two at once":     {func(f *Facts) { f.MaxUserNS, f.NewUIDMap, f.NewGIDMap = 0, Helper{}, Helper{} }, []error{ErrUserNSDisabled, ErrHelperMissing, ErrHelperMissing}},
		"once, not twice": {func(f *Facts) { f.NoNewPrivs = true }, []error{ErrNoNewPrivs}},
		"bad ranges":      {func(f *Facts) { f.SubIDs.UIDs = []Range{{5, 0}} }, []error{ErrEmptyRange}},
		"root needs nothing": {func(f *Facts) {
			*f = Facts{Map: f.Map, Caps: 1 << capSysAdmin, UnprivilegedClone: 0, MaxUserNS: 1, MaxMountNS: 1}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			tc.set(&f)
			got := f.Problems()
			if len(got) != len(tc.want) {
				t.Fatalf("got %v, want %v", got, tc.want)
			}
			for i, err := range got {
				if !errors.Is(err, tc.want[i]) || problem.HintOf(err) == "" {
					t.Errorf("got %v with hint %q, want %v with one", err, problem.HintOf(err), tc.want[i])
				}
			}
		})
	}
}

func TestAddRange(t *testing.T) {
	for want, id := range map[string]Identity{
		"sudo usermod --add-subuids 165536-231071 --add-subgids 165536-231071 alice":                                             {UID: 1000, User: "alice", Local: true},
		"for f in /etc/subuid /etc/subgid; do grep -qsx carol:165536:65536 $f || echo carol:165536:65536 | sudo tee -a $f; done": {UID: 5000, User: "carol"},
		"for f in /etc/subuid /etc/subgid; do grep -qsx 5000:165536:65536 $f || echo 5000:165536:65536 | sudo tee -a $f; done":   {UID: 5000},
	} {
		if got := problem.CommandOf(addRange(ErrNoRange, id, Range{165536, 65536})); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if err := addRange(ErrNoRange, Identity{}, Range{}); problem.CommandOf(err) != "" || !strings.Contains(problem.HintOf(err), "SUB_UID_MAX") {
		t.Errorf("no range free: %q", problem.HintOf(err))
	}
}

func TestCollect(t *testing.T) {
	h := fakeHost(t, map[string]string{
		"/proc/self/uid_map":                                     "0 1000 1\n1 100000 65536\n",
		"/proc/self/gid_map":                                     "0 1000 1\n",
		"/proc/self/status":                                      "Name:\tx\nCapEff:\t000001ffffffffff\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n",
		"/proc/self/mountinfo":                                   "22 27 0:21 / /proc rw - proc proc rw\n",
		"/proc/self/attr/apparmor/current":                       "unconfined\n",
		"/proc/sys/kernel/unprivileged_userns_clone":             "0\n",
		"/proc/sys/user/max_user_namespaces":                     "12\n",
		"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n",
		"/usr/lib/os-release":                                    "NAME=\"X\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
		"/usr/bin/newuidmap":                                     "#!",
		"/etc/nsswitch.conf":                                     "passwd: files\n",
	})
	h.Env = []string{"USER=somebody"}
	f, err := h.Collect()
	if err != nil {
		t.Fatal(err)
	}
	if f.User != "somebody" || f.PrimaryGID != -1 || f.Local {
		t.Errorf("identity %+v, primary group %d", f.Identity, f.PrimaryGID)
	}
	if !f.NoNewPrivs || !f.Seccomp || !f.Chroot || f.Caps != 1<<41-1 || f.AppArmorLabel != "unconfined" {
		t.Errorf("process facts: %+v", f)
	}
	if f.UnprivilegedClone != 0 || f.MaxUserNS != 12 || f.MaxMountNS != -1 || f.AppArmorRestrict != 1 {
		t.Errorf("sysctls: %+v", f)
	}
	if n, _ := f.Map.Size(); n != 65537 {
		t.Errorf("map %v", f.Map)
	}
	if f.NewUIDMap.Path != "/usr/bin/newuidmap" || f.NewUIDMap.Setuid || f.NewGIDMap.Path != "" {
		t.Errorf("helpers %+v, %+v", f.NewUIDMap, f.NewGIDMap)
	}
	if f.Distro != "rocky rhel centos fedora" || f.Exe == "" {
		t.Errorf("distro %q, exe %q", f.Distro, f.Exe)
	}
}

func TestNoRecordLocks(t *testing.T) {
	err := noRecordLocks(t.TempDir(), syscall.ENOLCK)
	if !errors.Is(err, syscall.ENOLCK) || !strings.Contains(err.Error(), "file system ") || !strings.Contains(problem.HintOf(err), "XDG_RUNTIME_DIR") {
		t.Errorf("got %v, hint %q", err, problem.HintOf(err))
	}
}
