package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// TestOverlayMount mounts both ways, with names that the options' own syntax
// would trip over and with paths longer than an option.
func TestOverlayMount(t *testing.T) {
	for _, tc := range []struct {
		onePage bool
		dir     string
	}{{false, `a:b,c=d\e`}, {true, `a:b,c=d\e`}, {false, strings.Repeat("n", 250)}, {true, strings.Repeat("n", 250)}} {
		onePage, base := tc.onePage, filepath.Join(t.TempDir(), tc.dir)
		dir := func(name string) string {
			path := filepath.Join(base, name)
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			return path
		}
		o := sys.Overlay{UserXattr: true, Upper: dir("upper"), Work: dir("work"), Scratch: filepath.Join(dir("none"), "scratch"), OnePage: onePage}
		for _, n := range []string{"1", "2", "3"} {
			o.Lower = append(o.Lower, dir("lower"+n))
			if err := os.WriteFile(filepath.Join(base, "lower"+n, "top"), []byte(n), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f, err := sys.MountOverlay(o)
		if err != nil {
			t.Fatalf("one page %v: %v", onePage, err)
		}
		root := "/proc/self/fd/" + itoa(int(f.Fd()))
		if data, err := os.ReadFile(root + "/top"); string(data) != "1" {
			t.Errorf("one page %v: the uppermost layer is %q, %v", onePage, data, err)
		}
		if err := os.WriteFile(root+"/new", nil, 0o600); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(o.Upper, "new")); err != nil {
			t.Errorf("one page %v: %v", onePage, err)
		}
		if got := sourceOf(t, f, dir("seen")); got != "overlay" {
			t.Errorf("one page %v: the mount's source is %q", onePage, got)
		}
		f.Close()
		if got := names(t, filepath.Join(base, "none")); onePage != slices.Equal(got, []string{"scratch"}) {
			t.Errorf("one page %v: where it may mount is %q", onePage, got)
		}
		if got, err := os.ReadDir(o.Scratch); len(got) > 0 || onePage && err != nil {
			t.Errorf("one page %v: mounted still: %q, %v", onePage, got, err)
		}
	}
}

// sourceOf mounts f on dir for a moment and returns what the mount table has as
// its source (proc_pid_mountinfo(5), the second field after the dash).
func sourceOf(t *testing.T, f *os.File, dir string) string {
	t.Helper()
	if err := kern.AttachAt(int(f.Fd()), dir); err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err := errors.Join(err, kern.Detach(dir)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(mounts)), "\n")
	_, last, _ := strings.Cut(lines[len(lines)-1], " - ") // mounted last
	fields := strings.Fields(last)
	if len(fields) < 2 || fields[0] != "overlay" {
		t.Fatalf("the last mount is %q", last)
	}
	return fields[1]
}
