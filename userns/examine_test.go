package userns

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/doctor"
)

// TestExamineFakedHosts has the hosts that namespaces cannot make: files stand for
// the kernel's answers. The others are in test/script/doctor_hosts.txtar.
func TestExamineFakedHosts(t *testing.T) {
	const all = "0 0 4294967295\n"
	sound := map[string]string{
		"/proc/self/uid_map": all, "/proc/self/gid_map": all, "/proc/self/status": "CapEff:\t0\n",
		"/usr/bin/newuidmap": "#!", "/usr/bin/newgidmap": "#!",
		"/proc/self/mountinfo": "22 27 0:21 / / rw - ext4 x rw\n",
	}
	for name, tc := range map[string]struct {
		files             map[string]string
		check, found, fix string
	}{
		"AppArmor of Ubuntu": {
			map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n", "/proc/self/attr/apparmor/current": "unconfined\n"},
			checkSpace, "AppArmor restricts user namespaces", "sudo apparmor_parser -r /etc/apparmor.d/nook",
		},
		"Debian's switch": {
			map[string]string{"/proc/sys/kernel/unprivileged_userns_clone": "0\n"},
			checkSpace, "kernel.unprivileged_userns_clone=0", "sudo sysctl -p /etc/sysctl.d/99-nook-unprivileged_userns_clone.conf",
		},
		"no range, Fedora": {
			map[string]string{"/etc/os-release": "ID=fedora\n"},
			checkRanges, "no subordinate ids", "100000:65536",
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := maps.Clone(sound)
			maps.Copy(text, tc.files)
			h := fakeHost(t, text)
			got := Examine(&doctor.Host{Root: h.Root, Env: h.Env})
			i := slices.IndexFunc(got, func(r doctor.Result) bool { return r.Check == tc.check })
			if i < 0 || got[i].Level != doctor.Problem || !strings.Contains(got[i].Found, tc.found) || !strings.Contains(got[i].Fix, tc.fix) || got[i].Means == "" {
				t.Errorf("got %+v, want %s: %q with %q", got, tc.check, tc.found, tc.fix)
			}
		})
	}
}

func TestExamineHealthy(t *testing.T) {
	for _, r := range healthy().Examine() {
		if r.Level != doctor.OK {
			t.Errorf("%+v", r)
		}
	}
}

func TestClashes(t *testing.T) {
	h := fakeHost(t, map[string]string{
		"/etc/subuid": "alice:100000:65536\n1000:100000:65536\nbob:165535:10\nbroken\ncarol:200000:0\n",
		"/etc/subgid": "alice:100000:65536\nbob:165536:10\n",
		"/etc/passwd": "alice:x:1000:1000::/:/bin/sh\nldap:x:150000:1::/:/bin/sh\n+nis:x:150001:1::/:\n",
		"/etc/group":  "users:x:165535:\n",
	})
	r := []Range{{100000, 65536}}
	got, err := h.clashes(Identity{UID: 1000, User: "alice"}, SubIDs{UIDs: r, GIDs: r})
	if err != nil {
		t.Fatal(err)
	}
	want := []Clash{
		{"uid", r[0], "bob", Range{165535, 10}},
		{"uid", r[0], "ldap", Range{150000, 1}},
		{"gid", r[0], "users", Range{165535, 1}},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestAppArmorProfile holds contrib/apparmor/nook to what the hint installs, and the
// hint to what a shell makes of it.
func TestAppArmorProfile(t *testing.T) {
	data, err := os.ReadFile("../contrib/apparmor/nook")
	if err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "#") {
			rules.WriteString(line)
		}
	}
	if want := AppArmorProfile("/usr{,/local}/bin/nook"); rules.String() != want {
		t.Errorf("contrib/apparmor/nook is\n%s\nwant\n%s", rules.String(), want)
	}
	for _, path := range []string{"/usr/bin/nook", "/home/it's 100%/nook"} {
		printf, _, _ := strings.Cut(loadProfile(path), " | sudo tee ")
		out, err := exec.Command("sh", "-c", printf).Output()
		if err != nil || string(out) != AppArmorProfile(path) {
			t.Errorf("%s: prints %s, %v", printf, out, err)
		}
	}
}
