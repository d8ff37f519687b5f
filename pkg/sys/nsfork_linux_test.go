package sys_test

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

	"golang.org/x/sys/unix"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/systest"
)

// userNS tells whether this user may create user namespaces at all.
func userNS() *sys.Feature {
	return &sys.Feature{Name: "user namespaces", Since: "3.8", Try: func() error {
		c, err := (&sys.NSFork{Path: "/bin/true", Args: []string{"true"}, CloneFlags: sys.NewUser, Files: make([]*os.File, 3)}).Start()
		if err != nil {
			return err
		}
		pid, err := c.Executed()
		if err == nil {
			_, err = unix.Wait4(pid, nil, 0, nil)
		}
		return err
	}}
}

// twice runs a test with a child that has a copy of this process's memory, and one
// that has the memory itself.
func twice(t *testing.T, test func(t *testing.T, share bool)) {
	t.Helper()
	t.Run("copy", func(t *testing.T) { test(t, false) })
	t.Run("share", func(t *testing.T) { test(t, true) })
}

// output runs f with a shell script and returns what it printed.
func output(t *testing.T, f *sys.NSFork, script string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f.Path, f.Args = "/bin/sh", []string{"sh", "-c", script}
	if f.Env == nil {
		f.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin"}
	}
	f.Files = append([]*os.File{nil, w, w}, f.Files...)
	c, err := f.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := c.Executed()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, 0, nil); err != nil || ws.ExitStatus() != 0 {
		t.Errorf("sh: status %d, %v; said %q", ws.ExitStatus(), err, data)
	}
	return string(data)
}

// holder is a process in new namespaces, mapped to root, that lives until the
// test ends.
func holder(t *testing.T, flags uintptr) (pid int) {
	t.Helper()
	hold, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c, err := (&sys.NSFork{
		Path: "/bin/sh", Args: []string{"sh", "-c", "read x"}, Files: []*os.File{hold, nil, nil},
		CloneFlags: sys.NewUser | flags, Ambient: true,
	}).Start()
	hold.Close()
	if err != nil {
		t.Fatal(err)
	}
	pid, err = c.Executed()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Close()
		if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
			t.Error(err)
		}
	})
	proc := fmt.Sprintf("/proc/%d/", pid)
	for file, text := range map[string]string{"setgroups": "deny", "uid_map": fmt.Sprintf("0 %d 1", os.Geteuid())} {
		if err := sys.WriteProc(proc+file, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := sys.WriteProc(proc+"gid_map", fmt.Sprintf("0 %d 1", os.Getegid())); err != nil {
		t.Fatal(err)
	}
	return pid
}

func openNS(t *testing.T, pid int, flags ...uintptr) (all []sys.Namespace) {
	t.Helper()
	for _, flag := range flags {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, sys.NamespaceName(flag)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		all = append(all, sys.Namespace{File: f, Type: flag})
	}
	return all
}

func nsLink(t *testing.T, pid int, name string) string {
	t.Helper()
	s, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNSForkAmbientCapsSurviveExec(t *testing.T) { twice(t, nsForkAmbientCapsSurviveExec) }

func nsForkAmbientCapsSurviveExec(t *testing.T, share bool) {
	t.Helper()
	systest.SkipUnless(t, userNS())
	out := output(t, &sys.NSFork{Share: share, CloneFlags: sys.NewUser | sys.NewMount, Ambient: true}, "grep CapEff /proc/self/status; mount -t tmpfs none /mnt && echo mounted")
	if !strings.Contains(out, "mounted") {
		t.Errorf("no capabilities in the unmapped namespace: %q", out)
	}
}

func TestNSForkJoins(t *testing.T) { twice(t, nsForkJoins) }

func nsForkJoins(t *testing.T, share bool) {
	t.Helper()
	systest.SkipUnless(t, userNS())
	pid := holder(t, sys.NewUTS)
	f := &sys.NSFork{Share: share, Join: openNS(t, pid, sys.NewUser, sys.NewUTS), Unshare: sys.NewMount, BecomeRoot: true, Dir: "/usr"}
	out := output(t, f, "id -u; id -g; readlink /proc/self/ns/user /proc/self/ns/uts /proc/self/ns/mnt; pwd")
	got := strings.Fields(out)
	want := []string{"0", "0", nsLink(t, pid, "user"), nsLink(t, pid, "uts"), "", "/usr"}
	if len(got) != len(want) {
		t.Fatalf("got %q", out)
	}
	if own := nsLink(t, os.Getpid(), "mnt"); got[4] == own || got[4] == nsLink(t, pid, "mnt") {
		t.Errorf("mount namespace %s is not a new one", got[4])
	}
	got[4] = ""
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The child of a joined pid namespace must be inside it, and still our child.
func TestNSForkJoinsPIDNamespace(t *testing.T) { twice(t, nsForkJoinsPIDNamespace) }

func nsForkJoinsPIDNamespace(t *testing.T, share bool) {
	t.Helper()
	systest.SkipUnless(t, userNS())
	pid := holder(t, sys.NewPID)
	out := output(t, &sys.NSFork{Share: share, Join: openNS(t, pid, sys.NewUser, sys.NewPID)}, "echo $$; readlink /proc/self/ns/pid")
	if want := "2\n" + nsLink(t, pid, "pid") + "\n"; out != want {
		t.Errorf("got %q, want %q: the second process of the holder's namespace", out, want)
	}
}

func TestNSForkFiles(t *testing.T) { twice(t, nsForkFiles) }

func nsForkFiles(t *testing.T, share bool) {
	t.Helper()
	// Descriptors that have to change places, one passed twice, and one that must
	// not get through although it is not close-on-exec.
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	leak, err := unix.FcntlInt(null.Fd(), unix.F_DUPFD, 50)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	dir := t.TempDir()
	var files []*os.File
	for _, name := range []string{"a", "b"} {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	low, err := unix.FcntlInt(files[0].Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	lowest := os.NewFile(uintptr(low), "low")
	defer lowest.Close()
	out := output(t, &sys.NSFork{Share: share, Files: []*os.File{files[1], files[0], lowest, nil}},
		fmt.Sprintf("for i in 3 4 5 6; do readlink /proc/self/fd/$i; done; [ -e /proc/self/fd/%d ] || echo gone", leak))
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if want := strings.Join([]string{b, a, a, "/dev/null", "gone", ""}, "\n"); out != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func TestNSForkRestoresNofile(t *testing.T) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	// Start this program again with a lower soft limit than it has; the runtime
	// there raises it, and the child there must see it as it was.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c, err := (&sys.NSFork{
		Path: "/bin/sh", Args: []string{"sh", "-c", `ulimit -Sn 77; exec "$0"`, os.Args[0]},
		Env: []string{"NSFORK_NOFILE=1"}, Files: []*os.File{nil, w, w},
	}).Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := c.Executed()
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(out, []byte("77\n")) {
		t.Errorf("the child's soft limit is %q, want 77", out)
	}
}

// printNofile is the middle process of TestNSForkRestoresNofile.
func printNofile() error {
	c, err := (&sys.NSFork{Path: "/bin/sh", Args: []string{"sh", "-c", "ulimit -Sn"}, Files: []*os.File{nil, os.Stdout, os.Stderr}}).Start()
	if err != nil {
		return err
	}
	pid, err := c.Executed()
	if err == nil {
		_, err = unix.Wait4(pid, nil, 0, nil)
	}
	return err
}

func TestNSForkNamesTheStep(t *testing.T) { twice(t, nsForkNamesTheStep) }

func nsForkNamesTheStep(t *testing.T, share bool) {
	t.Helper()
	notNS, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer notNS.Close()
	for name, tc := range map[string]struct {
		f    sys.NSFork
		step string
		err  syscall.Errno
	}{
		"no program":      {sys.NSFork{Share: share, Path: "/no/such"}, "execve /no/such", unix.ENOENT},
		"no directory":    {sys.NSFork{Share: share, Dir: "/no/such"}, "chdir /no/such", unix.ENOENT},
		"not a namespace": {sys.NSFork{Share: share, Join: []sys.Namespace{{File: notNS, Type: sys.NewUser}}}, "setns user", unix.EINVAL},
		"not a cgroup":    {sys.NSFork{Share: share, Cgroup: notNS}, "clone", unix.EBADF},
	} {
		t.Run(name, func(t *testing.T) {
			tc.f.Args = []string{"x"}
			c, err := tc.f.Start()
			if err == nil {
				_, err = c.Executed()
			}
			var ne *sys.NSForkError
			if !errors.As(err, &ne) || ne.Step != tc.step || ne.Err != tc.err {
				t.Errorf("got %v, want %s: %v", err, tc.step, tc.err)
			}
			if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
				t.Errorf("a child is left: %v", err)
			}
		})
	}
}

// Two hundred forks with a busy heap and other goroutines forking too: a child
// that allocates, grows its stack or trips over a lock would hang or crash.
func TestNSForkUnderLoad(t *testing.T) { twice(t, nsForkUnderLoad) }

func nsForkUnderLoad(t *testing.T, share bool) {
	t.Helper()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = bytes.Repeat([]byte("x"), 1<<16)
			}
		}
	}()
	errs := make(chan error)
	for range 4 {
		go func() {
			for range 50 {
				c, err := (&sys.NSFork{Share: share, Path: "/bin/true", Args: []string{"true"}, Files: make([]*os.File, 3)}).Start()
				if err != nil {
					errs <- err
					return
				}
				pid, err := c.Executed()
				if err == nil {
					_, err = unix.Wait4(pid, nil, 0, nil)
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestUserNSOwnerAndParent(t *testing.T) {
	systest.SkipUnless(t, userNS())
	ns := openNS(t, holder(t, 0), sys.NewUser)[0].File
	if uid, err := sys.UserNSOwner(ns); err != nil || int(uid) != os.Geteuid() {
		t.Errorf("UserNSOwner = %d, %v; want %d", uid, err, os.Geteuid())
	}
	parent, err := sys.UserNSParent(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	a, err := parent.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.Stat("/proc/self/ns/user")
	if err != nil || !os.SameFile(a, b) {
		t.Errorf("the parent is not our own namespace (%v)", err)
	}
}

// ownCgroup returns the directory of this process's cgroup v2, "" without one.
func ownCgroup(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if !strings.Contains(line, " - cgroup2 ") || f[3] != "/" {
			continue
		}
		for l := range strings.Lines(string(own)) {
			if p, ok := strings.CutPrefix(strings.TrimSpace(l), "0::"); ok {
				return filepath.Join(f[4], p)
			}
		}
	}
	return ""
}

func TestNSForkStartsInCgroup(t *testing.T) { twice(t, nsForkStartsInCgroup) }

func nsForkStartsInCgroup(t *testing.T, share bool) {
	t.Helper()
	dir := filepath.Join(ownCgroup(t), fmt.Sprintf("nsfork-test-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("no cgroup v2 that this user may write to: %v", err)
	}
	defer func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	}()
	cg, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer cg.Close()
	out := output(t, &sys.NSFork{Share: share, Cgroup: cg}, "grep ^0:: /proc/self/cgroup")
	if !strings.HasSuffix(strings.TrimSpace(out), "/"+filepath.Base(dir)) {
		t.Errorf("the child is in %q, want %s", out, dir)
	}
}
