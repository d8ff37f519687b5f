package filetree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/store/storetest"
	"github.com/nook-containers/nook/pkg/sys"
)

// The tests run in a user namespace, since they change owners.
func TestMain(m *testing.M) { storetest.Main(m) }

func openDir(t *testing.T, path string) *sys.Dir {
	t.Helper()
	d, err := sys.OpenHostDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// fill makes one of everything below dir.
func fill(t *testing.T, dir string) {
	t.Helper()
	p := func(s string) string { return filepath.Join(dir, s) }
	old := time.Unix(1_600_000_000, 123_456_000)
	must(t,
		os.MkdirAll(p("d/e"), 0o755),
		os.WriteFile(p("d/file"), bytes.Repeat([]byte("x"), 1<<20), 0o600),
		os.Link(p("d/file"), p("second")),
		os.Symlink("/etc/passwd", p("link")),
		os.WriteFile(p("suid"), nil, 0o600),
		os.Lchown(p("suid"), 3, 4), os.Chmod(p("suid"), 0o4711|os.ModeSetuid),
		os.Lchown(p("link"), 5, 6), os.Lchown(p("d/e"), 7, 8), os.Chmod(p("d/e"), 0o1750|os.ModeSticky),
		sys.Mkfifo(p("fifo"), 0o640),
		os.Chtimes(p("d/file"), old, old), os.Chtimes(p("d"), old, old),
		os.Chmod(dir, 0o711), os.Lchown(dir, 9, 10),
	)
	f, err := os.Open(p("d/file"))
	must(t, err, sys.SetXattr(f, "user.kept", []byte{0, 1}), sys.SetXattr(f, "user.overlay.opaque", []byte("y")), f.Close())
}

// list describes a tree, one line a file.
func list(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	var walk func(d *sys.Dir, at string)
	walk = func(d *sys.Dir, at string) {
		names, err := d.Names()
		must(t, err)
		for _, n := range append(names, ".") {
			if n == "." && at != "" {
				continue
			}
			st, err := d.Lstat(n)
			must(t, err)
			line := fmt.Sprintf("%s %o %d:%d x%d %d", at+n, st.Mode, st.UID, st.GID, st.Links, st.Mtime.UnixNano())
			if st.Kind() == syscall.S_IFREG {
				f, err := d.Open(n)
				must(t, err)
				attrs, err := sys.ListXattrs(f)
				fi, serr := f.Stat()
				must(t, err, serr, f.Close())
				line += fmt.Sprint(" ", fi.Size(), attrs)
			}
			out = append(out, line)
			if n != "." && d.IsDir(n) {
				sub, err := d.OpenDir(n)
				must(t, err)
				walk(sub, at+n+"/")
				sub.Close()
			}
		}
	}
	walk(openDir(t, dir), "")
	slices.Sort(out)
	return out
}

func TestCopy(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	fill(t, from)
	must(t, Copy(t.Context(), openDir(t, from), openDir(t, to)))
	want := list(t, from)
	for i, line := range want {
		want[i] = strings.Replace(line, "user.overlay.opaque", "", 1)
	}
	got := list(t, to)
	clean := func(lines []string) string {
		return strings.NewReplacer("[ ", "[", " ]", "]").Replace(strings.Join(lines, "\n"))
	}
	if clean(got) != clean(want) {
		t.Errorf("got\n%s\nwant\n%s", clean(got), clean(want))
	}
	a, err := os.Stat(filepath.Join(to, "d/file"))
	must(t, err)
	if b, err := os.Stat(filepath.Join(to, "second")); err != nil || !os.SameFile(a, b) {
		t.Errorf("two names became two files: %v", err)
	}
}

func TestCopyStops(t *testing.T) {
	from := t.TempDir()
	fill(t, from)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if err := Copy(ctx, openDir(t, from), openDir(t, t.TempDir())); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

// A link in the tree belongs to somebody: what it points to does not.
func TestChownFollowsNoLink(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	must(t,
		os.WriteFile(filepath.Join(outside, "f"), nil, 0o600),
		os.Symlink(filepath.Join(outside, "f"), filepath.Join(dir, "link")),
		os.Symlink(outside, filepath.Join(dir, "dirlink")),
		os.MkdirAll(filepath.Join(dir, "a/b"), 0o700), os.WriteFile(filepath.Join(dir, "a/b/c"), nil, 0o600),
	)
	must(t, Chown(t.Context(), openDir(t, dir), 11, 12))
	for _, line := range list(t, dir) {
		if !strings.Contains(line, " 11:12 ") {
			t.Errorf("not given away: %s", line)
		}
	}
	for _, line := range list(t, outside) {
		if !strings.Contains(line, " 0:0 ") {
			t.Errorf("outside changed: %s", line)
		}
	}
}

func TestEmpty(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	fill(t, dir)
	must(t, os.WriteFile(filepath.Join(outside, "f"), nil, 0o600), os.Symlink(outside, filepath.Join(dir, "out")))
	must(t, Empty(openDir(t, dir)))
	if left := list(t, dir); len(left) != 1 { // itself
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(filepath.Join(outside, "f")); err != nil {
		t.Error(err)
	}
}
