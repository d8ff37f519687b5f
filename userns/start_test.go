package userns

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

func TestStartCreatesThenJoins(t *testing.T) {
	needRanges(t)
	c := newCast(t)
	first, second := c.launch("hold").child(), c.launch("hold").child()
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]Report{"create": first, "join": second} {
		if r.UID != 0 || r.GID != 0 || r.Groups != len(groups) {
			t.Errorf("%s: uid %d, gid %d, %d groups; want 0, 0, %d", name, r.UID, r.GID, r.Groups, len(groups))
		}
		if n, _ := r.Map.Size(); n < 1000 || r.Map.UIDs[0] != (Extent{0, uint32(os.Geteuid()), 1}) {
			t.Errorf("%s: map %v", name, r.Map)
		}
		if r.CapEff != first.CapEff || r.CapEff&(1<<capSysAdmin) == 0 || r.CapInh != 0 && !withCgo() {
			t.Errorf("%s: CapEff %x, CapInh %x", name, r.CapEff, r.CapInh)
		}
		if r.Mode3 != membersPath(c.dir) {
			t.Errorf("%s: descriptor 3 is %s", name, r.Mode3)
		}
		want := map[string]string{
			"_CONTAINERS_USERNS_CONFIGURED": "done",
			"_CONTAINERS_ROOTLESS_UID":      fmt.Sprint(os.Geteuid()),
			"_CONTAINERS_ROOTLESS_GID":      fmt.Sprint(os.Getegid()),
		}
		for k, v := range want {
			if r.Env[k] != v {
				t.Errorf("%s: %s=%s, want %s", name, k, r.Env[k], v)
			}
		}
	}
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	if first.User != second.User {
		t.Errorf("user namespaces %s and %s; want one", first.User, second.User)
	}
	if first.Mount == second.Mount || first.Mount == own || second.Mount == own {
		t.Errorf("mount namespaces %s, %s and ours %s; want three", first.Mount, second.Mount, own)
	}
}

// withCgo reports whether this is a build for the race detector, where no call
// reaches all threads.
func withCgo() bool {
	_, _, errno := syscall.AllThreadsSyscall(syscall.SYS_GETPPID, 0, 0, 0)
	return errno == syscall.ENOTSUP
}

// Sixty-four first starts at the same moment make exactly one namespace.
func TestStartCrowd(t *testing.T) {
	needRanges(t)
	c := newCast(t)
	var voices []*voice
	for range 64 {
		voices = append(voices, c.launch("hold"))
	}
	namespaces := map[string]int{}
	for _, v := range voices {
		namespaces[v.child().User]++
	}
	for _, v := range voices {
		if err := v.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if len(namespaces) != 1 {
		t.Errorf("%d user namespaces: %v", len(namespaces), namespaces)
	}
}

// Members come and go all the time, so that a joiner often finds one that ends
// before it can be joined. Nobody may fail, and nobody may see two namespaces.
func TestStartWhileMembersDie(t *testing.T) {
	needRanges(t)
	c := newCast(t)
	for range 12 {
		var voices []*voice
		for range 8 {
			voices = append(voices, c.launch("flash"))
		}
		for _, v := range voices {
			v.child()
			if err := v.cmd.Wait(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A starter that is killed anywhere leaves no lock and no half-made namespace in
// the way of the next.
func TestStartAfterKill(t *testing.T) {
	needRanges(t)
	c := newCast(t)
	for i := range 30 {
		v := c.launch("flash")
		time.Sleep(time.Duration(i) * 200 * time.Microsecond)
		if err := v.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := v.cmd.Wait(); err == nil {
			continue // it was faster
		} else if _, killed := errors.AsType[*exec.ExitError](err); !killed {
			t.Fatal(err)
		}
	}
	c.launch("hold").child()
}

func TestMembershipSurvivesExec(t *testing.T) {
	needRanges(t)
	c := newCast(t)
	v := c.launch("exec")
	kept := v.child()
	if kept.Mode3 != membersPath(c.dir) {
		t.Fatalf("after execve descriptor 3 is %s", kept.Mode3)
	}
	if pid := holderOf(t, c.dir); pid != kept.PID {
		t.Errorf("the record lock belongs to process %d, want %d", pid, kept.PID)
	}
	if next := c.launch("hold").child(); next.User != kept.User {
		t.Errorf("joined %s, want %s", next.User, kept.User)
	}
}

func holderOf(t *testing.T, dir string) int {
	t.Helper()
	f, err := os.OpenFile(membersPath(dir), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pid, err := sys.RecordHolder(f)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// A member that starts another process stays a member, and the other is one too.
func TestStartFromMember(t *testing.T) {
	needRanges(t)
	t.Run("parent stays", func(t *testing.T) {
		c := newCast(t)
		r := c.launch("start", "flash").roles()
		outer, inner := r["start"], r["flash"]
		if outer.User != inner.User || outer.Mount == inner.Mount {
			t.Errorf("parent in %s, %s; child in %s, %s: want one user and two mount namespaces",
				outer.User, outer.Mount, inner.User, inner.Mount)
		}
		if inner.Env["_CONTAINERS_ROOTLESS_UID"] != fmt.Sprint(os.Geteuid()) {
			t.Errorf("the child of a member has lost the host uid: %v", inner.Env)
		}
		waitFor(t, func() bool { return holderOf(t, c.dir) == outer.PID })
	})
	t.Run("child takes over", func(t *testing.T) {
		c := newCast(t)
		r := c.launch("start", "hold").roles()
		if err := syscall.Kill(r["start"].PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return holderOf(t, c.dir) == r["hold"].PID })
		if next := c.launch("hold").child(); next.User != r["hold"].User {
			t.Errorf("joined %s, want %s of the member's child", next.User, r["hold"].User)
		}
	})
}

// Inside a namespace that is not nook's, as root, the child gets a mount
// namespace and nothing else; nobody from outside may join it.
func TestStartInsideAnotherNamespace(t *testing.T) {
	needRanges(t)
	c := newCast(t)
	r := c.launch("elsewhere", "flash").roles()
	outer, inner := r["elsewhere"], r["flash"]
	if outer.User != inner.User || outer.Mount == inner.Mount || inner.UID != 0 {
		t.Errorf("parent in %s, %s; child in %s, %s", outer.User, outer.Mount, inner.User, inner.Mount)
	}
	if !strings.HasPrefix(inner.Mode3, "socket:") {
		t.Errorf("descriptor 3 is %s: the child made itself a member", inner.Mode3)
	}
	if _, err := os.Stat(membersPath(c.dir + ".other")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a members file appeared: %v", err)
	}
}

// As under "unshare -r": one id, all capabilities. Nothing better can be had.
func TestStartAsRootOfOneID(t *testing.T) {
	c := newCast(t)
	cmd := self(asStarter, c.dir, "flash")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	err = cmd.Run()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	v := &voice{t, cmd, bufio.NewReader(r)}
	a, b := v.report(), v.report()
	if a.Notice == "" {
		a, b = b, a
	}
	if !strings.Contains(a.Notice, "only one id") || b.UID != 0 || !b.Map.Single() || b.CapEff == 0 {
		t.Errorf("notice %q, child %+v", a.Notice, b)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}

func TestStartGivesUpWithTheContext(t *testing.T) {
	dir := t.TempDir()
	lock, err := openLock(dir + "/userns.lock")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := sys.Lock(lock); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Options{RunDir: dir, Args: []string{asChild}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestStartRefusesAForeignRunDir(t *testing.T) {
	_, err := Start(t.Context(), Options{RunDir: "/", Args: []string{asChild}})
	if err == nil || !strings.Contains(err.Error(), "belongs to uid 0") || problem.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}

func TestReadyWithoutStart(t *testing.T) {
	out, err := self(asChild, t.TempDir(), "hold").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "enter user namespace") {
		t.Errorf("got %v, %q", err, out)
	}
}

// The last member waits for those who come soon; one that is not the last does not.
func TestLinger(t *testing.T) {
	needRanges(t)
	c := newCast(t)
	last := c.launch("linger").child()
	next := c.launch("hold").child()
	if next.User != last.User {
		t.Errorf("joined %s, want %s, which lingers", next.User, last.User)
	}
	another := c.launch("linger").child()
	waitFor(t, func() bool { return errors.Is(syscall.Kill(another.PID, 0), syscall.ESRCH) })
}
