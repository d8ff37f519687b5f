package oci_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/oci"
	"github.com/nook-containers/nook/pkg/oci/external"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// otherRuntime returns another runtime, or skips.
func otherRuntime(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"crun", "runc"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("neither crun nor runc is installed")
	return ""
}

// What the standard says must be the same with every runtime.
func TestExternalRuntimeAgrees(t *testing.T) {
	runtime := otherRuntime(t)
	for name, script := range map[string]string{
		"identity":     "id -u; hostname; echo $$; pwd; umask",
		"capabilities": "grep Cap /proc/self/status",
		"devices":      "ls /dev | grep -v core; stat -c '%n %F %t:%T' /dev/null /dev/zero; readlink /dev/fd; readlink /dev/ptmx",
		"masks":        "stat -c '%F' /proc/keys; ls -A /sys/firmware | wc -l; echo 1 2>&1 >/proc/sys/kernel/msgmax",
		"exit status":  "exit 42",
		"killed":       "kill -9 $$",
		"mounts":       "mount | grep -v ' on / ' | awk '$3 !~ \"^/proc/|^/dev/[^ps]|^/sys/firm\" {print $3, $5}'",
	} {
		t.Run(name, func(t *testing.T) {
			ours, st, err := sh(t, script).run()
			if err != nil {
				t.Fatal(err)
			}
			theirs, est := runExternal(t, runtime, sh(t, script))
			if ours != theirs || st != est {
				t.Errorf("ours: %#x\n%s\n%s: %#x\n%s", st, ours, runtime, est, theirs)
			}
		})
	}
}

func runExternal(t *testing.T, runtime string, b *box) (string, syscall.WaitStatus) {
	t.Helper()
	fd, err := kern.CloneTree(kern.AtCwd, b.root)
	if err != nil {
		t.Fatal(err)
	}
	b.cfg.Root = os.NewFile(uintptr(fd), "root")
	defer b.cfg.Root.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	b.cfg.Stdout, b.cfg.Stderr = w, w
	state := t.TempDir()
	var c oci.Process
	c, err = external.Create(t.Context(), runtime, state, b.cfg)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(&out, r) }()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	st, err := c.Wait()
	if err != nil {
		t.Fatal(err)
	}
	<-done
	if left, err := filepath.Glob(filepath.Join(state, "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	return out.String(), st
}

func TestExternalExecErrors(t *testing.T) {
	runtime := otherRuntime(t)
	for name, tc := range map[string]struct {
		arg  string
		code int
	}{"not found": {"/no/such/command", 127}, "not in PATH": {"no-such-command", 127}, "not executable": {"/etc/plain", 126}} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, tc.arg)
			b.write("etc/plain", "x", 0o644)
			c, err := external.Create(t.Context(), runtime, t.TempDir(), b.cfg)
			if err == nil {
				err = c.Start()
				end(c)
			}
			e, ok := errors.AsType[*oci.ExecError](err)
			if !ok || e.Code != tc.code {
				t.Errorf("got %v, want an ExecError with code %d", err, tc.code)
			}
		})
	}
}

func TestExternalTerminal(t *testing.T) {
	runtime := otherRuntime(t)
	b := sh(t, "tty; exit 4")
	b.cfg.Spec.Process.Terminal = true
	// Longer than the address of a socket may be.
	state := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	c, err := external.Create(t.Context(), runtime, state, b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Terminal().Close()
	var out bytes.Buffer
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(&out, c.Terminal()) }()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	st, err := c.Wait()
	<-done
	if err != nil || st.ExitStatus() != 4 || out.String() != "/dev/pts/0\r\n" {
		t.Errorf("status %#x, %v, output %q", st, err, out.String())
	}
}

// fakeRuntime is a runtime of a few lines: its container sleeps, and start kills that
// before it does what the last lines say.
func fakeRuntime(t *testing.T, start string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runtime")
	script := `#!/bin/sh
while test $# -gt 0; do case $1 in
--root) root=$2; shift ;;
--pid-file) file=$2; shift ;;
--version) exit ;;
create | start | delete) verb=$1 ;;
esac; id=$1; shift; done
case $verb in
delete) rm -r "$root/$id"; exit ;;
create) mkdir -p "$root/$id"; sleep 1000 </dev/null >/dev/null 2>&1 & echo $! | tee "$root/$id/pid" >"$file"; exit ;;
esac
kill -9 "$(cat "$root/$id/pid")"
` + start
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return path
}

// A container may be killed between create and start. crun then waits for it for
// ever; others say what is wrong, and one that was just quick enough is right.
func TestExternalStartOfEnded(t *testing.T) {
	for name, tc := range map[string]struct{ start, want string }{
		"hangs":    {"exec sleep 1000", "the container has ended before"},
		"fails":    {"echo >&2; exit 3", "start: exit status 3"},
		"succeeds": {"exit 0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			state := t.TempDir()
			c, err := external.Create(t.Context(), fakeRuntime(t, tc.start), state, sh(t, "true").cfg)
			if err != nil {
				t.Fatal(err)
			}
			started := make(chan error, 1)
			go func() { started <- c.Start() }()
			select {
			case err = <-started:
			case <-time.After(time.Minute):
				t.Fatal("start waits for a container that has ended")
			}
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if st, err := c.Wait(); err != nil || st.Signal() != syscall.SIGKILL {
				t.Errorf("status %#x, %v", st, err)
			}
			if left, err := filepath.Glob(filepath.Join(state, "*", "*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %q, %v", left, err)
			}
		})
	}
}
