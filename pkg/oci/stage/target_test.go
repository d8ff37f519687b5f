package stage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nook-containers/nook/pkg/sys/kern"
)

func TestFollow(t *testing.T) {
	links := map[string]string{
		"escape":      "../../../var/tmp",
		"abs":         "/srv/data",
		"chain":       "abs/../chained",
		"var/run":     "../run",
		"run/up":      "../../..",
		"trailing":    "a/b/",
		"loop":        "pool",
		"pool":        "./loop",
		"missing/not": "never/asked",
	}
	for dest, want := range map[string]string{
		"/":                 ".",
		"/a//b/./c/":        "a/b/c",
		"/../../a":          "a",
		"/escape":           "var/tmp",
		"/escape/y":         "var/tmp/y",
		"/abs/x":            "srv/data/x",
		"/chain/x":          "srv/chained/x",
		"/var/run/x":        "run/x",
		"/run/up/x":         "x",
		"/missing/../abs/x": "srv/data/x",
		"/trailing/c":       "a/b/c",
	} {
		got, err := follow(dest, maxLinks, func(rel string) (string, error) { return links[rel], nil })
		if got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", dest, got, err, want)
		}
	}
	asked := 0
	got, err := follow("/loop/x", maxLinks, func(rel string) (string, error) { asked++; return links[rel], nil })
	if !errors.Is(err, syscall.ELOOP) || asked != maxLinks+1 {
		t.Errorf("a loop leads to %q, %v, after %d questions", got, err, asked)
	}
	if got, err := follow("/abs", 0, func(rel string) (string, error) { return links[rel], nil }); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a link where none is allowed leads to %q, %v", got, err)
	}
	broken := errors.New("broken")
	if got, err := follow("/abs", 1, func(string) (string, error) { return "", broken }); !errors.Is(err, broken) {
		t.Errorf("got %q, %v", got, err)
	}
}

// open returns a setup with the root, and what lies beside the root.
func open(t *testing.T) (s *setup, root, outside string) {
	t.Helper()
	dir := t.TempDir()
	root, outside = filepath.Join(dir, "root"), filepath.Join(dir, "outside")
	if err := errors.Join(os.Mkdir(root, 0o755), os.Mkdir(outside, 0o755)); err != nil {
		t.Fatal(err)
	}
	fd, err := kern.Open(root, dirPath, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kern.Close(fd) })
	return &setup{rootFD: fd}, root, outside
}

func symlink(t *testing.T, target string, at ...string) {
	t.Helper()
	if err := os.Symlink(target, filepath.Join(at...)); err != nil {
		t.Fatal(err)
	}
}

// same fails unless fd is what lies at path, which is not a link.
func same(t *testing.T, fd int, path string) {
	t.Helper()
	got, err := kern.Stat(fd)
	if err != nil {
		t.Fatal(err)
	}
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := fi.Sys().(*syscall.Stat_t); got.Ino != want.Ino || got.Dev != want.Dev { //nolint:forcetypeassert // always, on Linux
		t.Errorf("opened something else than %s", path)
	}
}

func TestTargetThroughDanglingLinks(t *testing.T) {
	s, root, outside := open(t)
	symlink(t, "../outside", root, "escape")
	symlink(t, outside+"/abs", root, "abs")
	symlink(t, "escape/f", root, "file")
	symlink(t, "/run", root, "var-run")
	if err := os.Mkdir(filepath.Join(root, "new"), 0o755); err != nil {
		t.Fatal(err)
	}
	symlink(t, "../run/else", root, "new/nowhere")
	for _, tc := range []struct {
		dest  string
		isDir bool
		made  string
	}{
		{"/escape", true, "outside"},
		{"/abs/x/y", true, outside + "/abs/x/y"},
		{"/var-run/lock/f", false, "run/lock/f"},
		{"/file", false, "outside/f"},
		{"/file", false, "outside/f"}, // again: it exists now
		{"/new/f", false, "new/f"},
		{"/new/g", false, "new/g"},
		{"/new/d", true, "new/d"},
		{"/new/nowhere", true, "run/else"},
		{"/", true, "."},
	} {
		fd, err := s.target(tc.dest, tc.isDir)
		if err != nil {
			t.Errorf("%s: %v", tc.dest, err)
			continue
		}
		same(t, fd, filepath.Join(root, tc.made))
		if st, err := kern.Stat(fd); err != nil || kern.IsDir(st.Mode) != tc.isDir {
			t.Errorf("%s: mode %o, %v", tc.dest, st.Mode, err)
		}
		kern.Close(fd)
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("made outside of the root: %v, %v", left, err)
	}
}

func TestTargetRefusesLinks(t *testing.T) {
	s, root, _ := open(t)
	symlink(t, "b", root, "a")
	symlink(t, "a", root, "b")
	symlink(t, "nowhere", root, "proc")
	symlink(t, "/nowhere", root, "sys")
	for _, dest := range []string{"/a", "/a/x", "/proc", "/sys"} {
		if fd, err := s.target(dest, true); !errors.Is(err, syscall.ELOOP) {
			t.Errorf("%s: %d, %v; want ELOOP", dest, fd, err)
		}
		if got, err := s.missing(dest); !errors.Is(err, syscall.ELOOP) {
			t.Errorf("%s: would be made at %q, %v; want ELOOP", dest, got, err)
		}
	}
}

// A racer puts a link where the first step saw none.
func TestMkdirTreeFollowsNoLink(t *testing.T) {
	s, root, outside := open(t)
	if err := os.Mkdir(filepath.Join(root, "inside"), 0o755); err != nil {
		t.Fatal(err)
	}
	symlink(t, outside, root, "a")
	symlink(t, "inside", root, "b")
	symlink(t, "..", root, "inside", "up")
	for _, rel := range []string{"a", "a/x", "b/x", "inside/up/x", "inside/up"} {
		fd, err := s.mkdirTree(rel)
		if err == nil {
			kern.Close(fd)
		}
		if !errors.Is(err, syscall.ELOOP) && !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("%s: %v", rel, err)
		}
	}
	var names []string
	for _, dir := range []string{outside, filepath.Join(root, "inside"), root} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	if got := strings.Join(names, " "); got != "up a b inside" {
		t.Errorf("there is now: %s", got)
	}
}
