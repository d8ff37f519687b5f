package sys_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/systest"
)

// A child with this process's memory is done when Start returns, also one that was
// cloned twice, and leaves nothing of its doings here.
func TestNSForkShareLeavesNoTrace(t *testing.T) {
	systest.SkipUnless(t, userNS())
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid := holder(t, sys.NewPID)
	f := &sys.NSFork{
		Share: true, Path: "/bin/sleep", Args: []string{"sleep", "100"}, Files: make([]*os.File, 3),
		Join: openNS(t, pid, sys.NewUser, sys.NewPID),
	}
	before := statusLines(t, "Cpus_allowed_list:", "SigBlk:", "SigCgt:")
	c, err := f.Start()
	if err != nil {
		t.Fatal(err)
	}
	child, err := c.Executed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sys.ChildOf(child).Kill(); err != nil {
			t.Error(err)
		}
		if _, err := unix.Wait4(child, nil, 0, nil); err != nil {
			t.Error(err)
		}
	}()
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", child)); err != nil || !strings.Contains(exe, "sleep") && !strings.Contains(exe, "coreutils") && !strings.Contains(exe, "busybox") {
		t.Errorf("the child runs %s, %v, when Start has returned", exe, err)
	}
	if after := statusLines(t, "Cpus_allowed_list:", "SigBlk:", "SigCgt:"); after != before {
		t.Errorf("this thread had\n%s and has\n%s", before, after)
	}
	if d, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || d != 1 {
		t.Errorf("PR_GET_DUMPABLE: %d, %v", d, err)
	}
}

// A thread that may use one processor only starts children that may use no other.
func TestNSForkShareKeepsAffinity(t *testing.T) {
	runtime.LockOSThread() // and the thread ends with the test
	var now, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &now); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if now.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	grep := "grep Cpus_allowed_list /proc/self/status"
	wide := output(t, &sys.NSFork{Share: true}, grep)
	if want := statusLines(t, "Cpus_allowed_list:"); wide != want {
		t.Errorf("child of a thread with %q: %q", want, wide)
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	narrow := output(t, &sys.NSFork{Share: true}, grep)
	if want := statusLines(t, "Cpus_allowed_list:"); narrow != want {
		t.Errorf("child of a thread with %q: %q", want, narrow)
	}
}

// statusLines is what /proc/thread-self/status says.
func statusLines(t *testing.T, names ...string) string {
	t.Helper()
	data, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		for _, n := range names {
			if strings.HasPrefix(line, n) {
				out.WriteString(line)
			}
		}
	}
	return out.String()
}
