package oci_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/oci"
	"github.com/nook-containers/nook/pkg/sys"
)

// live is a container that sleeps, to be entered.
type live struct {
	t      testing.TB
	box    *box
	ctr    *oci.Container
	target oci.Target
}

func sleeping(t testing.TB, change ...func(*box)) *live {
	t.Helper()
	b := newBox(t, "/bin/sleep", "1000")
	for _, f := range change {
		f(b)
	}
	c, _, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(c) })
	p, err := sys.PidfdOpen(c.PID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return &live{t: t, box: b, ctr: c, target: oci.Target{PID: c.PID, Pidfd: p}}
}

// exec runs a shell script in the container, as process says.
func (l *live) exec(script string, change ...func(*oci.ExecConfig)) (out string, st syscall.WaitStatus, err error) {
	l.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		l.t.Fatal(err)
	}
	defer r.Close()
	cfg := oci.ExecConfig{Process: boxSpec([]string{"/bin/sh", "-c", script}).Process, Stdout: w, Stderr: w}
	for _, f := range change {
		f(&cfg)
	}
	e, err := oci.Enter(l.target)
	if err != nil {
		w.Close()
		return "", 0, err
	}
	c, err := e.Exec(l.t.Context(), cfg)
	w.Close()
	if err == nil {
		err = c.Start()
	}
	if cerr := e.Close(); err == nil {
		err = cerr
	}
	if c == nil {
		return "", 0, err
	}
	if c.Console != nil {
		r.Close()
		r = c.Console
	}
	var buf bytes.Buffer
	_, _ = io.Copy(&buf, r) // a terminal ends with EIO
	st, werr := c.Wait()
	return buf.String(), st, errors.Join(err, werr)
}

func (l *live) output(script string, change ...func(*oci.ExecConfig)) string {
	l.t.Helper()
	out, st, err := l.exec(script, change...)
	if err != nil || st != 0 {
		l.t.Fatalf("status %#x, %v\n%s", st, err, out)
	}
	return strings.TrimSpace(out)
}

func TestExecJoinsAllNamespaces(t *testing.T) {
	for name, nested := range map[string]bool{"same user namespace": false, "nested user namespace": true} {
		t.Run(name, func(t *testing.T) {
			l := sleeping(t, func(b *box) {
				if nested {
					nest(b)
				}
			})
			got := strings.Fields(l.output("for n in user mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done; id -u; pwd; echo $$"))
			for i, ns := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"} {
				want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", l.ctr.PID, ns))
				if err != nil {
					t.Fatal(err)
				}
				if got[i] != want {
					t.Errorf("%s namespace is %s, the container's %s", ns, got[i], want)
				}
			}
			if rest := strings.Join(got[7:9], " "); rest != "0 /" || got[9] == "1" {
				t.Errorf("uid, directory and pid are %q", got[7:])
			}
		})
	}
}

// The command's credentials are those it is given, whatever its container's are.
func TestExecCredentials(t *testing.T) {
	l := sleeping(t)
	status := "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status"
	out := l.output(status, func(c *oci.ExecConfig) {
		c.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{1001, 7}}
		c.Process.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}}
		c.Process.NoNewPrivileges = true
	})
	for _, want := range []string{
		"Uid:\t1000\t1000\t1000\t1000", "Gid:\t1001\t1001\t1001\t1001", "Groups:\t7 1001", "CapInh:\t0000000000000000",
		"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000001", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out := l.output(status); !strings.Contains(out, "CapEff:\t00000000800405fb") && !strings.Contains(out, "CapEff:\t00000000000405fb") && !strings.Contains(out, "CapInh:\t0000000000000000") {
		t.Errorf("root has\n%s", out)
	}
}

// Nothing of the host is among the command's descriptors, its environment or its
// directories (CVE-2024-21626).
func TestExecLeaksNothing(t *testing.T) {
	l := sleeping(t)
	open, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := sys.Replace(40, open); err != nil { // as a careless shell leaves one
		t.Fatal(err)
	}
	defer syscall.Close(40)
	t.Setenv("SECRET_TOKEN", "of the host")
	out := l.output("ls /proc/self/fd; echo; cat /proc/self/environ /proc/[0-9]*/environ | tr '\\0' '\\n'")
	fds, env, _ := strings.Cut(out, "\n\n")
	if fds != "0\n1\n2\n3" { // 3 is the directory that ls reads
		t.Errorf("descriptors:\n%s", fds)
	}
	if strings.Contains(env, "SECRET") || strings.Contains(env, "GOGC") {
		t.Errorf("environment:\n%s", env)
	}
	for _, n := range []int{0, 3, 4, 5, 8, 40} {
		_, _, err := l.exec("pwd; cat ../../../etc/hostname", func(c *oci.ExecConfig) { c.Process.Cwd = fmt.Sprintf("/proc/self/fd/%d", n) })
		if e, ok := errors.AsType[*oci.ExecError](err); !ok || e.Code != 126 {
			t.Errorf("working directory /proc/self/fd/%d: %v", n, err)
		}
	}
}

// CVE-2019-5736: what is run leads back to our own program.
func TestExecOwnProgramIsSafe(t *testing.T) {
	l := sleeping(t, func(b *box) {
		b.write("bin/trap", "#!/proc/self/exe\n", 0o755)
		b.symlink("/proc/self/exe", "bin/link")
		// All that the container's root could want for it.
		all := boxCaps()
		b.cfg.Spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
		b.cfg.Spec.Process.Args = []string{"/bin/sh", "-c", `while :; do for p in /proc/[0-9]*; do
			[ $p = /proc/1 ] || { exec 3<$p/exe && echo evil >>/proc/self/fd/3 && echo reached >/tmp/reached; exec 3<&-; }; done 2>/dev/null; done`}
	})
	before, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		for _, prog := range []string{"/bin/trap", "/bin/link"} {
			_, _, _ = l.exec("", func(c *oci.ExecConfig) { c.Process.Args = []string{prog} }) // any end
		}
	}
	after, err := os.ReadFile("/proc/self/exe")
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("own program was changed (%v)", err)
	}
	// busybox may be opened for writing once nobody runs it; ours never.
	if data, err := os.ReadFile(filepath.Join(l.box.root, "tmp/reached")); err == nil {
		t.Logf("the container reached some program for writing: %s", data)
	}
}

func boxCaps() []string { return append(defaultCaps(), "CAP_SYS_PTRACE", "CAP_SYS_ADMIN") }

func TestExecTerminal(t *testing.T) {
	l := sleeping(t)
	tty := func(c *oci.ExecConfig) {
		c.Process.Terminal, c.Process.ConsoleSize = true, &specs.Box{Height: 33, Width: 99}
	}
	out := l.output("tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all; : </dev/tty && echo mine", tty)
	if out = strings.ReplaceAll(out, "\r", ""); out != "/dev/pts/0\n33 99\nall\nmine" {
		t.Errorf("got %q", out)
	}
	out = l.output("stat -c %u $(tty)", tty, func(c *oci.ExecConfig) { c.Process.User = specs.User{UID: 1000, GID: 1000} })
	if strings.TrimSpace(out) != "1000" {
		t.Errorf("the terminal belongs to %q", out)
	}
}

// CVE-2025-52565: what the container put in the place of its multiplexer.
func TestExecTerminalIsALink(t *testing.T) {
	dir, check := canary(t)
	l := sleeping(t, func(b *box) {
		mounts := b.cfg.Spec.Mounts[:0]
		for _, m := range b.cfg.Spec.Mounts {
			if m.Destination != "/dev/pts" {
				mounts = append(mounts, m)
			}
		}
		b.cfg.Spec.Mounts = append(mounts, specs.Mount{Destination: "/dev/pts", Type: "tmpfs", Source: "tmpfs"})
	})
	for name, make := range map[string]string{
		"link": "ln -s " + dir + "/target /dev/pts/ptmx", "file": "echo >/dev/pts/ptmx", "fifo": "mkfifo /dev/pts/ptmx", "null": "ln /dev/null /dev/pts/ptmx || cp -a /dev/null /dev/pts/ptmx || echo >/dev/pts/ptmx",
	} {
		_, _, _ = l.exec("busybox rm -f /dev/pts/ptmx; busybox " + make)
		_, _, err := l.exec("true", func(c *oci.ExecConfig) { c.Process.Terminal = true })
		if err == nil || !strings.Contains(err.Error(), "/dev/pts/ptmx") {
			t.Errorf("%s: %v", name, err)
		}
	}
	check()
}

func TestExecAccounts(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	for name, tc := range map[string]struct{ script, want, refused string }{
		"plain":       {script: "echo root >/etc/passwd", want: "root\n"},
		"missing":     {script: "busybox rm -f /etc/passwd"},
		"link inside": {script: "echo there >/tmp/p; busybox ln -sf /tmp/p /etc/passwd", want: "there\n"},
		"link out":    {script: "busybox ln -sf /../../../../etc/passwd /etc/passwd.x; busybox ln -sf /proc/1/root/../etc/passwd.x /etc/passwd", refused: "/etc/passwd"},
		"fifo":        {script: "busybox rm -f /etc/passwd; busybox mkfifo /etc/passwd", refused: "not a regular file"},
		"device":      {script: "busybox ln -sf /dev/zero /etc/passwd", refused: "not a regular file"},
		"terminal":    {script: "busybox ln -sf /dev/ptmx /etc/passwd", refused: "not a regular file"},
		"directory":   {script: "busybox rm -f /etc/passwd; mkdir /etc/passwd", refused: "not a regular file"},
		"huge":        {script: "busybox rm -rf /etc/passwd; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17; do cat /tmp/mb; done >/etc/passwd", refused: "larger than 16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			l := sleeping(t, func(b *box) { b.write("tmp/mb", big, 0o644) })
			l.output(tc.script)
			e, err := oci.Enter(l.target)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			passwd, group, err := e.Accounts()
			if tc.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("got %d bytes, %v; want %q", len(passwd), err, tc.refused)
				}
				return
			}
			if err != nil || string(passwd) != tc.want || len(group) != 0 {
				t.Errorf("got %q, %q, %v", passwd, group, err)
			}
		})
	}
}

// The container ends at every stage of the way into it.
func TestExecIntoAnEnd(t *testing.T) {
	cfg := oci.ExecConfig{Process: boxSpec([]string{"/bin/true"}).Process}
	t.Run("before", func(t *testing.T) {
		l := sleeping(t)
		end(l.ctr)
		if _, err := oci.Enter(l.target); !errors.Is(err, oci.ErrEnded) {
			t.Errorf("got %v", err)
		}
	})
	for name, use := range map[string]func(e *oci.Entrant) error{
		"accounts": func(e *oci.Entrant) (err error) {
			for err == nil { // SIGKILL takes its time
				_, _, err = e.Accounts()
			}
			return err
		},
		"exec": func(e *oci.Entrant) error {
			c, err := e.Exec(t.Context(), cfg)
			if err == nil { // it was faster
				end(c)
				err = oci.ErrEnded
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := sleeping(t)
			e, err := oci.Enter(l.target)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.ctr.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := use(e); !errors.Is(err, oci.ErrEnded) {
				t.Errorf("got %v", err)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("running", func(t *testing.T) {
		l := sleeping(t)
		e, err := oci.Enter(l.target)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		cfg.Process.Args = []string{"/bin/sleep", "1000"}
		c, err := e.Exec(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if err := l.ctr.Kill(); err != nil {
			t.Fatal(err)
		}
		if st, err := c.Wait(); err != nil || st.Signal() != syscall.SIGKILL {
			t.Errorf("status %#x, %v: the container's end is the command's", st, err)
		}
	})
}

func TestExecStatus(t *testing.T) {
	l := sleeping(t)
	if _, st, err := l.exec("exit 7"); err != nil || st.ExitStatus() != 7 {
		t.Errorf("status %#x, %v", st, err)
	}
	if _, st, err := l.exec("kill -TERM $$"); err != nil || st.Signal() != syscall.SIGTERM {
		t.Errorf("status %#x, %v", st, err)
	}
	for name, code := range map[string]int{"/bin/none": 127, "none": 127, "/etc": 126, "/tmp/plain": 126} {
		l.box.write("tmp/plain", "no program", 0o644)
		_, _, err := l.exec("", func(c *oci.ExecConfig) { c.Process.Args = []string{name} })
		if e, ok := errors.AsType[*oci.ExecError](err); !ok || e.Code != code {
			t.Errorf("%s: %v, want code %d", name, err, code)
		}
	}
}

// Descriptors 3 and up are the caller's, and settings of the process take effect.
func TestExecSettings(t *testing.T) {
	l := sleeping(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	umask, adj := uint32(0o77), 500
	out := l.output("umask; ulimit -n; cat /proc/self/oom_score_adj; echo extra >&3; pwd; echo $A", func(c *oci.ExecConfig) {
		c.ExtraFiles = []*os.File{w}
		c.Process.User.Umask, c.Process.OOMScoreAdj = &umask, &adj
		c.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 88}}
		c.Process.Cwd, c.Process.Env = "/tmp", []string{"A=b", "PATH=/bin"}
	})
	w.Close()
	if out != "0077\n77\n500\n/tmp\nb" {
		t.Errorf("got %q", out)
	}
	if data, err := io.ReadAll(r); err != nil || string(data) != "extra\n" {
		t.Errorf("descriptor 3 got %q, %v", data, err)
	}
}

// While it is on its way in, nobody in the container can look into it. The
// container has all but CAP_SYS_PTRACE.
func TestExecCannotBeSpiedOn(t *testing.T) {
	l := sleeping(t, func(b *box) {
		b.cfg.Spec.Process.Args = []string{"/bin/sh", "-c", `while :; do for p in /proc/[0-9]*; do
			[ $p = /proc/1 ] || { ls -l $p/fd/ $p/cwd/ && cat $p/environ; } >>/tmp/seen; done 2>/dev/null; [ -e /tmp/stop ] && exec sleep 1000; done`}
	})
	for range 30 {
		e, err := oci.Enter(l.target)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l.box.write("tmp/stop", "", 0o644)
	seen, err := os.ReadFile(filepath.Join(l.box.root, "tmp/seen"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(seen, []byte("socket:")) || bytes.Contains(seen, []byte("memfd:")) || bytes.Contains(seen, []byte("GOGC")) {
		t.Errorf("the container saw\n%s", seen)
	}
}
