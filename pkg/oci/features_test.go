package oci_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/oci"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

func TestDetachedRoot(t *testing.T) {
	for name, nested := range map[string]bool{"same user namespace": false, "nested user namespace": true} {
		t.Run(name, func(t *testing.T) {
			b := sh(t, "id -u; cat /etc/mark; cat /proc/self/uid_map; echo x > /vol/made && stat -c %u /vol/made")
			b.write("etc/mark", "from the detached mount\n", 0o644)
			b.mount(specs.Mount{Destination: "/vol", Type: "bind", Source: "vol", Options: []string{"rbind"}})
			vol := filepath.Join(b.cfg.Bundle, "vol")
			if err := os.Mkdir(vol, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(vol, 0o777); err != nil {
				t.Fatal(err)
			}
			fd, err := kern.CloneTree(kern.AtCwd, b.root)
			if err != nil {
				t.Fatal(err)
			}
			b.cfg.Root = os.NewFile(uintptr(fd), "root")
			defer b.cfg.Root.Close()
			b.cfg.Spec.Root.Path = "/no/such/directory"
			want := "0"
			if nested { // keep-id: root inside is one of our sub-ids, and our 0 is 1000 inside
				nest(b)
				// Its parent is closed to everyone but us.
				if err := os.Chmod(b.cfg.Bundle, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			out := b.output()
			if !strings.HasPrefix(out, want+"\nfrom the detached mount\n") || !strings.HasSuffix(out, "\n0") {
				t.Errorf("got %q", out)
			}
			if nested != strings.Contains(out, "1000          0          1") {
				t.Errorf("wrong id map: %q", out)
			}
		})
	}
}

func nest(b *box) {
	l := b.cfg.Spec.Linux
	l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	m := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1, Size: 1000}, {ContainerID: 1000, HostID: 0, Size: 1}, {ContainerID: 1001, HostID: 1001, Size: 60000}}
	l.UIDMappings, l.GIDMappings = m, m
}

// A container shares namespaces with another, as in a pod.
func TestJoinNamespaces(t *testing.T) {
	first := newBox(t, "/bin/sleep", "1000")
	c, _, err := first.start()
	if err != nil {
		t.Fatal(err)
	}
	defer end(c)
	for name, tc := range map[string]struct {
		kinds  []specs.LinuxNamespaceType
		nested bool
	}{
		"without pid":           {kinds: []specs.LinuxNamespaceType{"network", "ipc", "uts"}},
		"with pid":              {kinds: []specs.LinuxNamespaceType{"network", "ipc", "uts", "pid"}},
		"from a user namespace": {kinds: []specs.LinuxNamespaceType{"network", "ipc", "uts"}, nested: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := sh(t, "for n in net ipc uts pid; do readlink /proc/self/ns/$n; done; ls /sys/class/net; hostname")
			b.cfg.Spec.Hostname = ""
			if tc.nested {
				nest(b)
			}
			var want []string
			for i := range b.cfg.Spec.Linux.Namespaces {
				ns := &b.cfg.Spec.Linux.Namespaces[i]
				for _, k := range tc.kinds {
					if ns.Type == k {
						ns.Path = "/proc/" + itoa(c.PID) + "/ns/" + strings.Replace(string(k), "network", "net", 1)
						link, err := os.Readlink(ns.Path)
						if err != nil {
							t.Fatal(err)
						}
						want = append(want, link)
					}
				}
			}
			out := b.output()
			for _, w := range want {
				if !strings.Contains(out, w) {
					t.Errorf("not in %s:\n%s", w, out)
				}
			}
			if !strings.HasSuffix(out, "lo\nbox") {
				t.Errorf("network or uts namespace is another:\n%s", out)
			}
		})
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func TestHostNamespaces(t *testing.T) {
	b := sh(t, "mount | grep -E ' on /(proc|sys|dev/mqueue|sys/fs/cgroup) '; ls /proc/self/exe /sys/class >/dev/null && echo both")
	var keep []specs.LinuxNamespace
	for _, ns := range b.cfg.Spec.Linux.Namespaces {
		if ns.Type == specs.UTSNamespace || ns.Type == specs.MountNamespace {
			keep = append(keep, ns)
		}
	}
	b.cfg.Spec.Linux.Namespaces = keep
	out := b.output()
	if !strings.HasSuffix(out, "both") {
		t.Errorf("got\n%s", out)
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, " on /sys ") && !strings.Contains(line, "(ro,") {
			t.Errorf("the host's sysfs can be written to: %s", line)
		}
	}
}

func TestTerminal(t *testing.T) {
	for name, uid := range map[string]uint32{"root": 0, "user": 1000} {
		t.Run(name, func(t *testing.T) {
			b := sh(t, "tty; stty size; test -w /dev/tty && test -c /dev/console && echo $(stat -c %u $(tty)); exit 5")
			b.cfg.Spec.Process.Terminal = true
			b.cfg.Spec.Process.ConsoleSize = &specs.Box{Height: 33, Width: 77}
			b.cfg.Spec.Process.User.UID = uid
			c, err := oci.Create(t.Context(), b.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Console.Close()
			var out bytes.Buffer
			done := make(chan struct{})
			go func() { defer close(done); _, _ = io.Copy(&out, c.Console) }() // ends with EIO
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			st, err := c.Wait()
			<-done
			if err != nil || st.ExitStatus() != 5 {
				t.Errorf("status %#x, %v", st, err)
			}
			if want := "/dev/pts/0\r\n33 77\r\n" + itoa(int(uid)) + "\r\n"; out.String() != want {
				t.Errorf("got %q, want %q", out.String(), want)
			}
		})
	}
}

// The reaper passes signals on, collects orphans and exits like the command.
func TestReaper(t *testing.T) {
	b := sh(t, `echo pid $$; (sleep 0.01 & ) ; trap 'echo got TERM; sleep 0.2; ps | grep -c "\[sleep\]"; exit 9' TERM; echo ready; while :; do sleep 0.01; done`)
	b.cfg.Reaper = true
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	b.cfg.Stdout, b.cfg.Stderr = w, w
	c, err := oci.Create(t.Context(), b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	buf := make([]byte, 512)
	for !strings.Contains(out.String(), "ready") {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatal(err, out.String())
		}
		out.Write(buf[:n])
	}
	if err := syscall.Kill(c.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	st, err := c.Wait()
	if err != nil || st.ExitStatus() != 9 {
		t.Errorf("status %#x, %v", st, err)
	}
	if got := out.String() + string(rest); !strings.Contains(got, "got TERM\n0\n") || strings.Contains(got, "pid 1\n") {
		t.Errorf("got %q", got)
	}
}

func TestReaperReportsExecErrors(t *testing.T) {
	b := newBox(t, "no-such-command")
	b.cfg.Reaper = true
	_, _, err := b.run()
	if err == nil || !strings.Contains(err.Error(), "executable file not found in $PATH") {
		t.Errorf("got %v", err)
	}
}

func TestProcessSettings(t *testing.T) {
	b := sh(t, "id; umask; ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj; cat /proc/sys/kernel/msgmax; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /proc/sys/kernel/domainname")
	p := b.cfg.Spec.Process
	umask, adj := uint32(0o027), 321
	p.User = specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{9, 10}, Umask: &umask}
	p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 111, Hard: 222}, {Type: "RLIMIT_AS", Soft: 1 << 33, Hard: 1 << 34}}
	p.OOMScoreAdj = &adj
	b.cfg.Spec.Domainname = "example"
	b.cfg.Spec.Linux.Sysctl = map[string]string{"kernel.msgmax": "4242", "net.ipv4.ip_unprivileged_port_start": "80"}
	want := "uid=7 gid=8 groups=8,9,10\n0027\n111\n222\n321\n4242\n80\nexample"
	got := b.output()
	if alt := strings.Replace(want, "groups=8,9,10", "groups=9,10", 1); got != want && got != alt {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Without limits of its own a container has those of whoever started it, not
// what the Go runtime made of them.
func TestOpenFilesLimitIsRestored(t *testing.T) {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim) //nolint:errcheck // best effort
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 123, Max: lim.Max}); err != nil {
		t.Fatal(err)
	}
	if got := sh(t, "ulimit -Sn").output(); got != "123" {
		t.Errorf("soft limit %s, want 123", got)
	}
}

func TestRlimitAboveHard(t *testing.T) {
	b := newBox(t, "/bin/true")
	b.cfg.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1, Hard: 1 << 40}}
	refused(t, b, "set limit: RLIMIT_NOFILE")
}

func TestTmpfsCopyUp(t *testing.T) {
	b := sh(t, "cat /etc/conf/a; readlink /etc/conf/l; stat -c '%a %u %Y' /etc/conf/d/b; touch /etc/conf/new && echo writable; mount | grep -c ' on /etc/conf type tmpfs'")
	dir := filepath.Join(b.root, "etc/conf/d")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	b.write("etc/conf/a", "content\n", 0o644)
	b.write("etc/conf/d/b", "b", 0o640)
	b.symlink("/a/link", "etc/conf/l")
	if err := os.Chown(filepath.Join(dir, "b"), 3, 4); err != nil {
		t.Fatal(err)
	}
	when := time.Unix(1e9, 0)
	if err := os.Chtimes(filepath.Join(dir, "b"), when, when); err != nil {
		t.Fatal(err)
	}
	b.mount(specs.Mount{Destination: "/etc/conf", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})
	if got, want := b.output(), "content\n/a/link\n640 3 1000000000\nwritable\n1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(b.root, "etc/conf/new")); err == nil {
		t.Error("what was written to the tmpfs is below it")
	}
}

func TestReadonlyBind(t *testing.T) {
	vol, sub := t.TempDir(), ""
	sub = filepath.Join(vol, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", sub, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(sub, syscall.MNT_DETACH) //nolint:errcheck // goes with the namespace
	for name, tc := range map[string]struct {
		option string
		want   string
	}{
		"ro is the mount's alone":  {"ro", "1\n0"},
		"rro is that of all below": {"rro", "1\n1"},
		"neither":                  {"rw", "0\n0"},
	} {
		t.Run(name, func(t *testing.T) {
			b := sh(t, "touch /vol/x 2>/dev/null; echo $?; touch /vol/sub/x 2>/dev/null; echo $?")
			b.mount(specs.Mount{Destination: "/vol", Type: "bind", Source: vol, Options: []string{"rbind", tc.option}})
			if got := b.output(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestReadonlyRoot(t *testing.T) {
	b := sh(t, "touch /x 2>/dev/null; echo $?; touch /tmp/x; echo $?")
	b.cfg.Spec.Root.Readonly = true
	b.mount(specs.Mount{Destination: "/tmp", Type: "tmpfs"})
	if got := b.output(); got != "1\n0" {
		t.Errorf("got %q", got)
	}
}

func TestTimeNamespace(t *testing.T) {
	b := sh(t, "awk '{print ($1 > 1000000)}' /proc/uptime")
	l := b.cfg.Spec.Linux
	l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	l.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 10_000_000}}
	if got := b.output(); got != "1" {
		t.Errorf("uptime shows no offset: %q", got)
	}
}

func TestHooks(t *testing.T) {
	b := sh(t, "echo command >> /log")
	log := filepath.Join(b.root, "log")
	hook := func(name, file, root string) []specs.Hook {
		return []specs.Hook{{Path: root + "/bin/sh", Args: []string{"sh", "-c", "echo " + name + " $(" + root + "/bin/grep -o '\"status\":\"[a-z]*\"') >> " + file}}}
	}
	b.cfg.Spec.Hooks = &specs.Hooks{
		Prestart:        hook("prestart", log, b.root), //nolint:staticcheck // still in use
		CreateRuntime:   hook("createRuntime", log, b.root),
		CreateContainer: hook("createContainer", log, b.root),
		StartContainer:  hook("startContainer", "/log", ""),
	}
	b.output()
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	want := `prestart "status":"created"
createRuntime "status":"creating"
createContainer "status":"creating"
startContainer "status":"created"
command
`
	if string(data) != want {
		t.Errorf("got\n%swant\n%s", data, want)
	}
}

func TestHookErrors(t *testing.T) {
	second := 1
	for name, tc := range map[string]struct {
		hook specs.Hook
		want string
	}{
		"fails":     {specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "echo because >&2; exit 3"}}, "run createRuntime hook: /bin/sh: exit status 3: because"},
		"is slow":   {specs.Hook{Path: "/bin/sleep", Args: []string{"sleep", "100"}, Timeout: &second}, "timed out after 1 s"},
		"is absent": {specs.Hook{Path: "/no/hook"}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, "/bin/true")
			b.cfg.Spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{tc.hook}}
			refused(t, b, tc.want)
		})
	}
}

// The whole container dies with the thread that made it.
// goOffMain runs f in a goroutine of its own, not on the main thread: that one does
// not end with the goroutine that is locked to it.
func goOffMain(f func()) {
	go func() {
		runtime.LockOSThread()
		if syscall.Gettid() != syscall.Getpid() {
			f()
			return
		}
		defer runtime.UnlockOSThread()
		done := make(chan struct{})
		go func() { defer close(done); f() }()
		<-done
	}()
}

func TestKillWithParent(t *testing.T) {
	b := newBox(t, "/bin/sleep", "1000")
	b.cfg.KillWithParent = true
	b.cfg.Spec.Process.User.UID = 1000 // the change of user makes the kernel forget
	made := make(chan *oci.Container)
	end := make(chan struct{})
	goOffMain(func() { // locked by Create, so its thread ends with it
		c, err := oci.Create(t.Context(), b.cfg)
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Error(err)
		}
		made <- c
		<-end
	})
	c := <-made
	if c == nil {
		return
	}
	if err := syscall.Kill(c.PID, 0); err != nil {
		t.Fatal(err)
	}
	close(end)
	st, err := c.Wait()
	if err != nil || !st.Signaled() || st.Signal() != syscall.SIGKILL {
		t.Errorf("status %#x, %v, want killed", st, err)
	}
}

func TestSetupErrorsNameStepObjectAndCause(t *testing.T) {
	b := newBox(t, "/bin/true")
	b.mount(specs.Mount{Destination: "/x", Type: "bind", Source: "/no/such/source", Options: []string{"bind"}})
	refused(t, b, "mount: /x: source /no/such/source: no such file or directory")
	b = newBox(t, "/bin/true")
	b.cfg.Spec.Process.User.UID = 4_000_000
	refused(t, b, "become: uid 4000000: not mapped in the container's user namespace")
}
