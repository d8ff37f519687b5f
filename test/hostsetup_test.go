package test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nook-containers/nook/pkg/problem/remedy"
)

// setupHost is a machine as contrib/host-setup finds it: files below a root of
// its own. A file named tool/NAME is a program that shadows NAME.
type setupHost map[string]string

// readyHost has everything.
func readyHost() setupHost {
	return setupHost{
		"etc/passwd":        "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n",
		"etc/os-release":    "ID=debian\n",
		"etc/subuid":        "bob:100000:65536\nalice:165536:65536\n",
		"etc/subgid":        "bob:100000:65536\n1000:165536:65536\n",
		"usr/bin/newuidmap": "setuid",
		"usr/bin/newgidmap": "setuid",
		"dev/fuse":          "666",
		"dev/net/tun":       "666",
	}
}

func (h setupHost) with(kv ...string) setupHost {
	for i := 0; i < len(kv); i += 2 {
		if kv[i+1] == "-" {
			delete(h, kv[i])
		} else {
			h[kv[i]] = kv[i+1]
		}
	}
	return h
}

func (h setupHost) write(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range h {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := fs.FileMode(0o644)
		switch {
		case strings.HasPrefix(name, "tool/"), text == "plain":
			mode = 0o755
		case text == "setuid":
			mode = 0o755 | fs.ModeSetuid
		case text == "666":
			mode = 0o666
		case text == "600":
			mode = 0o600
		}
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// hostSetup runs the script with shell sh and returns its output and status.
func hostSetup(t *testing.T, sh, root string, attr *syscall.SysProcAttr, args ...string) (string, int) {
	t.Helper()
	script, err := filepath.Abs("../contrib/host-setup")
	if err != nil {
		t.Fatal(err)
	}
	words := append(strings.Fields(sh), script)
	cmd := exec.Command(words[0], append(words[1:], args...)...)
	cmd.Env = []string{"PATH=" + filepath.Join(root, "tool") + ":" + os.Getenv("PATH"), "HOST_SETUP_ROOT=" + root}
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	exit, failed := errors.AsType[*exec.ExitError](err)
	if err != nil && !failed {
		t.Fatal(err)
	}
	if failed {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

// shells are the POSIX shells that this machine has.
func shells() []string {
	var all []string
	for _, sh := range []string{"sh", "dash", "busybox sh", "bash --posix"} {
		if _, err := exec.LookPath(strings.Fields(sh)[0]); err == nil {
			all = append(all, sh)
		}
	}
	return all
}

func TestHostSetup(t *testing.T) {
	apt := "#!/bin/sh\necho \"apt-get $*\"\nfor f in newuidmap newgidmap; do : >\"$HOST_SETUP_ROOT/usr/bin/$f\"; chmod 4755 \"$HOST_SETUP_ROOT/usr/bin/$f\"; done\n"
	for name, tc := range map[string]struct {
		host    setupHost
		check   int // status of --check
		run     int // status of a run that may change things
		says    string
		subuid  string // afterwards
		changes bool
	}{
		"ready":                {host: readyHost(), says: "ready\n"},
		"helpers missing":      {host: readyHost().with("usr/bin/newuidmap", "-", "usr/bin/newgidmap", "-", "usr/bin/x", "", "tool/apt-get", apt), check: 1, changes: true, says: "change: apt-get install -y uidmap"},
		"unknown distribution": {host: readyHost().with("usr/bin/newuidmap", "-", "etc/os-release", "ID=plan9\n"), check: 1, run: 1, says: "install the package with newuidmap"},
		"no set-user-id bit":   {host: readyHost().with("usr/bin/newgidmap", "plain"), check: 1, changes: true, says: "change: chmod u+s "},
		"no ranges":            {host: readyHost().with("etc/subuid", "bob:100000:65536", "etc/subgid", "-"), check: 1, changes: true, says: "need:   subordinate uid gid ids for alice: 165536-231071 is free", subuid: "bob:100000:65536\nalice:165536:65536\n"},
		"no files of ranges":   {host: readyHost().with("etc/subuid", "-", "etc/subgid", "-"), check: 1, changes: true, says: "100000-165535 is free", subuid: "alice:100000:65536\n"},
		"free in both files":   {host: readyHost().with("etc/subuid", "bob:100000:10\n", "etc/subgid", "bob:100020:65536\n"), check: 1, changes: true, says: "165556-231091 is free", subuid: "bob:100000:10\nalice:165556:65536\n"},
		"bounds":               {host: readyHost().with("etc/subuid", "# none\n", "etc/subgid", "\n", "etc/login.defs", "SUB_UID_MIN  7000\nSUB_GID_MIN 8000\nSUB_UID_COUNT 10\nSUB_GID_COUNT 20\n"), check: 1, changes: true, says: "8000-8019 is free", subuid: "# none\nalice:8000:20\n"},
		"no range free":        {host: readyHost().with("etc/subuid", "bob:100000:65536\n", "etc/login.defs", "SUB_UID_MAX 200000\n"), check: 1, run: 1, says: "raise SUB_UID_MAX"},
		"empty range":          {host: readyHost().with("etc/subuid", "alice:5:0\n"), check: 1, changes: true, says: "need:   subordinate uid ids for alice"},
		"sysctl of Debian":     {host: readyHost().with("proc/sys/kernel/unprivileged_userns_clone", "0\n"), check: 1, run: 1, says: remedy.AsRoot(remedy.Sysctl("kernel.unprivileged_userns_clone", "1"))},
		"no user namespaces":   {host: readyHost().with("proc/sys/user/max_user_namespaces", "0\n"), check: 1, run: 1, says: remedy.AsRoot(remedy.Sysctl("user.max_user_namespaces", "28633"))},
		"AppArmor":             {host: readyHost().with("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"), check: 1, run: 1, says: "apparmor_parser -r /etc/apparmor.d/nook"},
		"AppArmor profile":     {host: readyHost().with("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "etc/apparmor.d/nook", "x"), says: "ready\n"},
		"devices are notes":    {host: readyHost().with("dev/fuse", "-", "dev/net/tun", "600"), says: "note:   /dev/net/tun has mode 600"},
	} {
		for _, sh := range shells() {
			t.Run(name+"/"+sh, func(t *testing.T) {
				root := tc.host.write(t)
				before := snapshot(t, root)
				if out, status := hostSetup(t, sh, root, nil, "--check", "--user", "alice"); status != tc.check || !strings.Contains(out, strings.TrimPrefix(tc.says, "change: ")) && !strings.HasPrefix(tc.says, "change: ") {
					t.Errorf("--check: status %d, want %d; said\n%s", status, tc.check, out)
				}
				if after := snapshot(t, root); after != before {
					t.Errorf("--check changed something:\n%s\n%s", before, after)
				}
				out, status := hostSetup(t, sh, root, nil, "--user", "alice")
				if status != tc.run || !strings.Contains(out, tc.says) {
					t.Errorf("status %d, want %d; said\n%s\nwant %q in it", status, tc.run, out, tc.says)
				}
				after := snapshot(t, root)
				if changed := after != before; changed != tc.changes {
					t.Errorf("changed: %v, want %v", changed, tc.changes)
				}
				if data, _ := os.ReadFile(filepath.Join(root, "etc/subuid")); tc.subuid != "" && string(data) != tc.subuid {
					t.Errorf("subuid is %q, want %q", data, tc.subuid)
				}
				// A second run finds nothing more to do.
				if out, _ := hostSetup(t, sh, root, nil, "--user", "alice"); strings.Contains(out, "change:") || snapshot(t, root) != after {
					t.Errorf("not idempotent:\n%s", out)
				}
			})
		}
	}
}

// snapshot lists every file below root with mode and content.
func snapshot(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(p)
		b.WriteString(strings.TrimPrefix(p, root) + " " + fi.Mode().String() + " " + string(data) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestHostSetupWithoutRoot(t *testing.T) {
	root := readyHost().with("etc/subuid", "bob:100000:65536\n").write(t)
	attr := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 { // root may write anywhere
		attr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		for _, dir := range []string{root, filepath.Dir(root)} {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	} else {
		etc := filepath.Join(root, "etc")
		if err := os.Chmod(etc, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(etc, 0o755) })
	}
	before := snapshot(t, root)
	out, status := hostSetup(t, "sh", root, attr, "--user", "alice")
	if status != 1 || !strings.Contains(out, "run as root: ") || !strings.Contains(out, "contrib/host-setup --user alice") {
		t.Errorf("status %d, said\n%s", status, out)
	}
	if snapshot(t, root) != before {
		t.Error("it changed something")
	}
}

func TestHostSetupArguments(t *testing.T) {
	root := readyHost().write(t)
	for name, tc := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"unknown user":     {[]string{"--user", "nobodyhome"}, 2, "there is no user nobodyhome"},
		"not a name":       {[]string{"--user", "a;b"}, 2, "not a user name"},
		"root":             {[]string{"--user", "root"}, 2, "root needs nothing"},
		"unknown argument": {[]string{"--force"}, 2, "unknown argument --force"},
		"no name":          {[]string{"--user"}, 2, "needs a name"},
		"help":             {[]string{"--help"}, 0, "host-setup [--check] [--user NAME]"},
		"one word":         {[]string{"--check", "--user=alice"}, 0, "ready"},
	} {
		t.Run(name, func(t *testing.T) {
			out, status := hostSetup(t, "sh", root, nil, tc.args...)
			if status != tc.status || !strings.Contains(out, tc.says) {
				t.Errorf("status %d, want %d; said\n%s", status, tc.status, out)
			}
		})
	}
}
