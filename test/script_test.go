// Package test holds the end-to-end tests and the rules of the tree.
package test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/nook-containers/nook/test/lab"
	"github.com/nook-containers/nook/test/machine"
)

// TestMain runs the tests in a child and reaps what they leave behind, as a
// session's first process does: orphans come here, and none stays a zombie.
func TestMain(m *testing.M) {
	if os.Getenv(reapedVar) != "" {
		flag.Parse()
		// Scripts wait half of their time. In a machine that is emulated nothing waits.
		if f := flag.Lookup("test.parallel"); f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) && slowness() == 1 {
			_ = f.Value.Set(strconv.Itoa(2 * runtime.GOMAXPROCS(0)))
		}
		os.Exit(m.Run())
	}
	status, err := runReaped()
	if err != nil {
		fmt.Fprintln(os.Stderr, "reaper:", err)
		os.Exit(1)
	}
	os.Exit(status)
}

const reapedVar = "NOOK_TEST_REAPED"

func runReaped() (int, error) {
	runtime.LockOSThread() // the death signal follows the thread that forked
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	child, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), reapedVar+"=1"),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		// A group of its own: a stray kill(0) then ends this run, not make or the shell above it.
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true},
	})
	if err != nil {
		return 0, err
	}
	for {
		var st syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &st, 0, nil)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return 0, err
		}
		if pid != child.Pid {
			continue
		}
		if st.Signaled() {
			return 128 + int(st.Signal()), nil
		}
		return st.ExitStatus(), nil
	}
}

// scriptLimit bounds a script that hangs; the slowest takes a small part of it.
func scriptLimit() time.Duration { return 3 * time.Minute * slowness() }

// slowness is by how much a machine may be slower than a host. An emulated one
// needs ten times as long for the same work.
func slowness() time.Duration {
	if os.Getenv("NOOK_MACHINE") == machine.VM {
		return 5
	}
	return 1
}

// TestScript runs script/*.txtar with the real program as the current user.
// docs/testing.md says what a script finds in its environment.
func TestScript(t *testing.T) {
	if os.Getuid() == 0 {
		t.Fatal("nook is for ordinary users; run: make script (it becomes one)")
	}
	base, err := os.MkdirTemp("/var/tmp", "nook-s-") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	h := &harness{t: t, base: base, nook: program(t), bulk: bulk(t)}
	if h.busybox, err = lab.Busybox(); err != nil {
		t.Fatal(err)
	}
	h.images = sync.OnceValues(h.startLab)
	t.Run("script", func(t *testing.T) {
		testscript.RunT(scriptT{t}, testscript.Params{
			Dir:                 "script",
			WorkdirRoot:         mkdir(t, base, "w"),
			Setup:               h.setup,
			Condition:           condition,
			Cmds:                h.commands(),
			RequireExplicitExec: true,
			UpdateScripts:       os.Getenv("UPDATE") != "",
		})
	})
	if left := leftovers(base); len(left) > 0 {
		t.Errorf("processes left after all scripts:\n%s", strings.Join(left, "\n"))
	}
}

// harness is what all scripts share: read-only fixtures and the registry.
type harness struct {
	t       *testing.T
	base    string
	nook    string // absolute path of the program
	busybox string
	bulk    int // MiB that the scripts bulk_* move
	images  func() (images, error)
}

const smallBulk = 64

// bulk is $NOOK_BULK, else a small one: "make long" sets it.
func bulk(t *testing.T) int {
	t.Helper()
	text := os.Getenv("NOOK_BULK")
	if text == "" {
		return smallBulk
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("$NOOK_BULK %q: want MiB", text)
	}
	return n
}

// program returns $NOOK, else builds the program as "make build" does.
func program(t *testing.T) string {
	t.Helper()
	if p := os.Getenv("NOOK"); p != "" {
		p, err := filepath.Abs(p)
		if err == nil {
			_, err = os.Stat(p)
		}
		if err != nil {
			t.Fatalf("$NOOK: %v", err)
		}
		return p
	}
	p := filepath.Join(t.TempDir(), "nook")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w -X main.version=test", "-o", p, "../cmd/nook")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return p
}

// images are the fixtures that only some scripts use.
type images struct {
	debian   string // directory
	registry string // host:port
}

// startLab makes them for the first script that names them.
func (h *harness) startLab() (images, error) {
	debian, err := lab.Debian(context.Background())
	if err != nil {
		return images{}, err
	}
	store, err := lab.RegistryStore(context.Background())
	if err != nil {
		return images{}, err
	}
	// A copy: scripts may push.
	dir := filepath.Join(h.base, "registry")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return images{}, err
	}
	if out, err := exec.Command("cp", "-a", store+"/docker", dir+"/").CombinedOutput(); err != nil {
		return images{}, fmt.Errorf("copy registry: %w: %s", err, out)
	}
	r, err := lab.StartRegistry(context.Background(), dir)
	if err != nil {
		return images{}, err
	}
	h.t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			h.t.Error(err)
		}
	})
	return images{filepath.Join(debian, "images"), r.Addr}, nil
}

// setup gives a script directories of its own; the host's containers.conf, store
// and session never take part.
func (h *harness) setup(e *testscript.Env) error {
	own, err := os.MkdirTemp(h.base, "")
	if err != nil {
		return err
	}
	for name, dir := range map[string]string{
		"HOME": "home", "XDG_DATA_HOME": "data", "XDG_RUNTIME_DIR": "run", "XDG_CONFIG_HOME": "config", "XDG_CACHE_HOME": "cache", "TMPDIR": "tmp",
	} {
		dir = filepath.Join(own, dir)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		e.Setenv(name, dir)
	}
	bin := filepath.Join(own, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	if err := os.Symlink(h.nook, filepath.Join(bin, "nook")); err != nil {
		return err
	}
	e.Setenv("PATH", bin+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	e.Setenv("NOOK", h.nook)
	e.Setenv("BUSYBOX", h.busybox)
	if err := h.setImages(e); err != nil {
		return err
	}
	e.Setenv("UID", strconv.Itoa(os.Getuid()))
	e.Setenv("GID", strconv.Itoa(os.Getgid()))
	e.Setenv("NOOK_TEST", own) // in the environment of every process of this script; see leftovers
	e.Values[ownKey{}] = own
	e.Setenv("BULK", strconv.Itoa(h.bulk))
	e.Setenv("KILLS", "100")
	if h.bulk > smallBulk {
		e.Setenv("KILLS", "500")
	}
	patience := scriptLimit() * time.Duration(1+h.bulk/smallBulk) / 2
	limit := time.AfterFunc(patience, func() {
		h.t.Errorf("%s: still running after %v; its processes:\n%s", filepath.Base(e.WorkDir), patience, strings.Join(leftovers(own), "\n"))
		killAll(own)
	})
	e.Defer(func() {
		limit.Stop()
		h.teardown(e, own)
	})
	return nil
}

// setImages sets $DEBIAN and $REGISTRY for a script that uses one of them.
func (h *harness) setImages(e *testscript.Env) error {
	s, err := readScript(strings.TrimPrefix(filepath.Base(e.WorkDir), "script-"))
	if err != nil || len(s.Images) == 0 {
		return err
	}
	im, err := h.images()
	e.Setenv("DEBIAN", im.debian)
	e.Setenv("REGISTRY", im.registry)
	return err
}

func readScript(name string) (machine.Script, error) {
	text, err := os.ReadFile(filepath.Join("script", name+".txtar"))
	if err != nil {
		return machine.Script{}, err
	}
	return machine.ParseScript(name, string(text))
}

// scriptT makes a script that skips fail in a machine: it was chosen for it.
type scriptT struct{ *testing.T }

func (t scriptT) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(scriptT{t}) })
}

func (t scriptT) Skip(args ...any) {
	if m := os.Getenv("NOOK_MACHINE"); m != "" {
		t.Fatal(append([]any{"skipped in a " + m + ": "}, args...)...)
	}
	t.T.Skip(args...)
}

func (t scriptT) Verbose() bool { return testing.Verbose() }

type ownKey struct{}

// teardown fails the script if a process of it is left, then removes its store.
func (h *harness) teardown(e *testscript.Env, own string) {
	if left := settle(own); len(left) > 0 {
		h.t.Errorf("%s: processes left:\n%s", filepath.Base(e.WorkDir), strings.Join(left, "\n"))
		killAll(own)
	}
	for _, dir := range []string{own, e.WorkDir} {
		if err := lab.RemoveAll(dir); err != nil {
			h.t.Errorf("%s: %v", filepath.Base(e.WorkDir), err)
		}
	}
}

func mkdir(t *testing.T, elem ...string) string {
	t.Helper()
	dir := filepath.Join(elem...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
