package doctor_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/doctor"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/problem/remedy"
	"github.com/nook-containers/nook/pkg/sys"
)

// files are a host's, below a root of its own. What a test of this package claims of
// a kernel, a clock or a disk is faked here; test/script/doctor_hosts.txtar has the
// hosts that can be made.
type files map[string]string

func today() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }

// healthy is a host with nothing wrong.
func healthy() files {
	return files{
		"/etc/passwd":                              "alice:x:1000:1000::/home/alice:/bin/sh\n",
		"/proc/sys/kernel/osrelease":               "6.12.3-generic\n",
		"/proc/sys/kernel/random/boot_id":          "this\n",
		"/proc/self/mountinfo":                     "22 1 0:21 / /proc rw - proc proc rw\n",
		"/proc/self/limits":                        "Limit Soft Limit Hard Limit Units\nMax open files            1024  524288  files\nMax processes unlimited unlimited processes\n",
		"/proc/stat":                               "cpu 1 2\nbtime 1780300000\n", // 2026-06-01 07:46:40
		"/run/systemd/system/x":                    "",
		"/run/user/1000/systemd/private":           "",
		"/var/lib/systemd/linger/alice":            "",
		"/home/alice/.local/share/nook/run/this/x": "",
	}
}

func (f files) host(t *testing.T) *doctor.Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range f {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data := "/home/alice/.local/share/nook"
	if _, ok := f["/home/alice/.local/share/nook/run/this/x"]; ok {
		if err := os.Chtimes(filepath.Join(root, data), today(), today()); err != nil {
			t.Fatal(err)
		}
	}
	return &doctor.Host{
		Root: root, Env: []string{"XDG_RUNTIME_DIR=/run/user/1000"}, UID: 1000,
		Data: data, Run: "/run/user/1000/nook", Now: today,
		Space: func(string) (sys.Disk, error) {
			return sys.Disk{Name: "ext4", Bytes: 1 << 40, Free: 1 << 39, Files: 1 << 20, Left: 1 << 19}, nil
		},
	}
}

func all(h *doctor.Host) (r doctor.Report) {
	for _, check := range []func(*doctor.Host) []doctor.Result{
		doctor.Kernel, doctor.Container, doctor.Disk, doctor.Session, doctor.Limits, doctor.Clock, doctor.Leftovers,
	} {
		r.Results = append(r.Results, check(h)...)
	}
	return r
}

func TestHealthy(t *testing.T) {
	for _, r := range all(healthy().host(t)).Results {
		if r.Level != doctor.OK || r.Fix != "" {
			t.Errorf("%+v", r)
		}
	}
}

func TestBroken(t *testing.T) {
	disk := func(d sys.Disk) func(*doctor.Host) {
		return func(h *doctor.Host) { h.Space = func(string) (sys.Disk, error) { return d, nil } }
	}
	for name, tc := range map[string]struct {
		file, text string // a file in place of the healthy host's, "-": none
		set        func(*doctor.Host)
		check      string
		level      doctor.Level
		found, fix string
	}{
		"old kernel":              {file: "/proc/sys/kernel/osrelease", text: "5.10.0-28-amd64\n", check: "kernel", level: doctor.Problem, found: "5.10.0-28-amd64, and nook needs 5.11", fix: "newer kernel"},
		"older kernel":            {file: "/proc/sys/kernel/osrelease", text: "4.18.0\n", check: "kernel", level: doctor.Problem, found: "4.18.0"},
		"no /proc":                {file: "/proc/sys/kernel/osrelease", text: "-", check: "kernel", level: doctor.Problem, found: "/proc is not mounted", fix: "sudo mount -t proc"},
		"masked /proc":            {file: "/proc/self/mountinfo", text: "40 22 0:5 / /proc/kcore rw - tmpfs tmpfs rw\n", check: "container", level: doctor.Warning, found: "/proc/kcore", fix: "systempaths=unconfined"},
		"no service manager":      {file: "/run/user/1000/systemd/private", text: "-", check: "service-manager", level: doctor.Warning, found: "does not run", fix: "sudo loginctl enable-linger alice"},
		"no linger":               {file: "/var/lib/systemd/linger/alice", text: "-", check: "linger", level: doctor.OK, found: "off", fix: "loginctl enable-linger"},
		"no session":              {set: func(h *doctor.Host) { h.Env = nil }, check: "runtime-directory", level: doctor.Warning, found: "is not set", fix: "export XDG_RUNTIME_DIR=/run/user/1000"},
		"session of another":      {set: func(h *doctor.Host) { h.Env = []string{"XDG_RUNTIME_DIR=/run/user/1"} }, check: "runtime-directory", level: doctor.Warning, found: "does not exist"},
		"few open files":          {file: "/proc/self/limits", text: "Max open files 256 1024 files\n", check: "limits", level: doctor.Warning, found: "open files is 1024 at most", fix: "/etc/security/limits.d/99-nook-nofile.conf"},
		"little locked memory":    {file: "/proc/self/limits", text: "Max locked memory 0 1000 bytes\n", check: "limits", level: doctor.Warning, found: "locked memory is 1000", fix: "99-nook-memlock.conf"},
		"clock at its beginning":  {set: func(h *doctor.Host) { h.Now = func() time.Time { return time.Unix(86400, 0).UTC() } }, check: "clock", level: doctor.Problem, found: "1970-01-02, which is long past", fix: "timedatectl"},
		"clock before the boot":   {file: "/proc/stat", text: "btime 1790000000\n", check: "clock", level: doctor.Problem, found: "the system started on 2026-09"},
		"clock before files":      {set: func(h *doctor.Host) { h.Now = func() time.Time { return today().Add(-4 * time.Hour) } }, check: "clock", level: doctor.Problem, found: "was written on"},
		"read-only disk":          {set: disk(sys.Disk{Free: 1 << 40, ReadOnly: true}), check: "data-directory", level: doctor.Problem, found: "mounted read-only", fix: "XDG_DATA_HOME"},
		"full disk":               {set: disk(sys.Disk{Free: 4096}), check: "data-directory", level: doctor.Problem, found: "full, with 4.1 kB left", fix: "prune"},
		"disk nearly full":        {set: disk(sys.Disk{Free: 500 << 20}), check: "data-directory", level: doctor.Warning, found: "524 MB left"},
		"no inodes":               {set: disk(sys.Disk{Free: 1 << 40, Files: 1000, Left: 3}), check: "data-directory", level: doctor.Problem, found: "3 more files"},
		"few inodes":              {set: disk(sys.Disk{Free: 1 << 40, Files: 1 << 20, Left: 3000}), check: "data-directory", level: doctor.Warning, found: "3000 more files"},
		"disk does not answer":    {set: func(h *doctor.Host) { h.Space = func(string) (sys.Disk, error) { return sys.Disk{}, os.ErrPermission } }, check: "data-directory", level: doctor.Problem, found: "permission"},
		"leftovers of other boot": {file: "/home/alice/.local/share/nook/run/other/x", check: "earlier-boots", level: doctor.Warning, found: "1 of them", fix: "--fix"},
	} {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			if tc.file != "" {
				f[tc.file] = tc.text
			}
			if tc.text == "-" {
				delete(f, tc.file)
			}
			h := f.host(t)
			if tc.set != nil {
				tc.set(h)
			}
			report := all(h)
			i := slices.IndexFunc(report.Results, func(r doctor.Result) bool { return r.Check == tc.check })
			if i < 0 {
				t.Fatalf("nothing about %s: %+v", tc.check, report)
			}
			r := report.Results[i]
			if r.Level != tc.level || !strings.Contains(r.Found, tc.found) || !strings.Contains(r.Fix+r.Advice, tc.fix) || r.Means == "" || r.Fix+r.Advice == "" {
				t.Errorf("got %+v, want %s, %q and %q", r, tc.level, tc.found, tc.fix)
			}
			for _, other := range report.Results {
				if other.Check != tc.check && other.Level == doctor.Problem && !strings.HasSuffix(other.Check, "-directory") {
					t.Errorf("also: %+v", other)
				}
			}
		})
	}
}

func TestLeftoversAreRemoved(t *testing.T) {
	f := healthy()
	f["/home/alice/.local/share/nook/run/other/deep/x"] = ""
	h := f.host(t)
	r := doctor.Leftovers(h)[0]
	if r.Do == nil {
		t.Fatalf("no repair: %+v", r)
	}
	did, err := r.Do()
	if err != nil || !strings.Contains(did, "1 earlier") {
		t.Errorf("%q, %v", did, err)
	}
	if h.Exists(h.Data+"/run/other") || !h.Exists(h.Data+"/run/this/x") {
		t.Error("the wrong directory went")
	}
	if r := doctor.Leftovers(h)[0]; r.Level != doctor.OK {
		t.Errorf("afterwards: %+v", r)
	}
}

func TestScript(t *testing.T) {
	fix := "sudo a && sudo b"
	r := doctor.Report{Results: []doctor.Result{
		doctor.Fine("x", "well"),
		{Check: "one", Level: doctor.Problem, Found: "text\nwith a line; rm -rf /", Fix: fix},
		{Check: "again", Level: doctor.Warning, Found: "the same", Fix: fix},
		{Check: "own", Level: doctor.Problem, Found: "no root", Fix: "chmod 700 x"},
		{Check: "choice", Level: doctor.OK, Found: "so", Means: "It is.", Fix: "sudo c"},
	}}
	want := "#!/bin/sh\n# What \"nook doctor\" found needs root. It can be run again.\n" +
		"# one: text with a line; rm -rf /\na && b\n# if you want to (choice): It is.\n#c\n"
	if got := r.Script(); got != want {
		t.Errorf("got\n%s", got)
	}
	if (doctor.Report{}).Script() != "" {
		t.Error("a script about nothing")
	}
	if r.Count(doctor.Problem) != 2 || r.Count(doctor.Warning) != 1 {
		t.Error("wrong counts")
	}
}

func TestFromError(t *testing.T) {
	base := errors.New("off")
	if r := doctor.FromError("x", doctor.Problem, problem.Run(base, remedy.Sysctl("a.b", "1")), "No."); r.Fix == "" || r.Advice != "" || r.Found != "off" {
		t.Errorf("%+v", r)
	}
	if r := doctor.FromError("x", doctor.Problem, problem.Hint(base, "think"), "No."); r.Fix != "" || r.Advice != "think" {
		t.Errorf("%+v", r)
	}
}
