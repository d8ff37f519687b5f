package sys_test

import (
	"errors"
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

// A program that belongs to the user must be out of reach for what runs in the
// namespaces that it enters (CVE-2019-5736), also for root with all capabilities
// there.
func TestNSForkReadOnly(t *testing.T) { twice(t, nsForkReadOnly) }

func nsForkReadOnly(t *testing.T, share bool) {
	t.Helper()
	systest.SkipUnless(t, userNS())
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal("this test needs busybox-static: ", err)
	}
	own := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(own, busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	pid := holder(t, sys.NewMount|sys.NewPID)
	// The kernel protects a program while it runs; the attack goes on after.
	const attack = "exec 2>&1; readlink /proc/self/ns/mnt; mount -o remount,rw /proc/self/fd/3; echo evil >>/proc/self/fd/3 && echo written"
	script := "mount -t proc proc /proc; exec 3</proc/self/exe; exec /bin/busybox sh -c '" + attack + "'"
	for name, tc := range map[string]struct {
		readOnly bool
		want     string
	}{
		"read-only": {true, "Read-only file system"},
		"control":   {false, "written"},
	} {
		t.Run(name, func(t *testing.T) {
			out := execed(t, &sys.NSFork{
				Share: share,
				Path:  own, Args: []string{"sh", "-c", script}, ReadOnly: tc.readOnly, Hide: true, Ambient: true, BecomeRoot: true,
				Join: openNS(t, pid, sys.NewUser, sys.NewMount, sys.NewPID), Env: []string{"PATH=/bin:/sbin:/usr/bin:/usr/sbin"},
			})
			if !strings.Contains(out, tc.want) || !strings.Contains(out, nsLink(t, pid, "mnt")) {
				t.Errorf("got %q, want %q in mount namespace %s", out, tc.want, nsLink(t, pid, "mnt"))
			}
		})
	}
	missing := &sys.NSFork{Share: share, Path: own + "-gone", Args: []string{"sh"}, ReadOnly: true, Join: openNS(t, pid, sys.NewUser)}
	c, err := missing.Start()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Executed(); !errors.Is(err, syscall.ENOENT) || !strings.Contains(err.Error(), sys.StepReadOnly) {
		t.Errorf("without the program: %v", err)
	}
}

// An open program runs whatever became of its name.
func TestNSForkProgram(t *testing.T) { twice(t, nsForkProgram) }

func nsForkProgram(t *testing.T, share bool) {
	t.Helper()
	f, err := os.Open("/bin/busybox")
	if err != nil {
		t.Fatal("this test needs busybox-static: ", err)
	}
	defer f.Close()
	if out := execed(t, &sys.NSFork{Share: share, Program: f, Args: []string{"echo", "ran"}}); out != "ran\n" {
		t.Errorf("got %q", out)
	}
}

// execed starts f and returns what it prints.
func execed(t *testing.T, f *sys.NSFork) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f.Files = []*os.File{nil, w, w}
	c, err := f.Start()
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
	return string(out)
}
