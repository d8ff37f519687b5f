package view_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/store/storetest"
	"github.com/nook-containers/nook/pkg/store/view"
	"github.com/nook-containers/nook/pkg/sys"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func file(name, body string) storetest.File { return storetest.File{Name: name, Body: body} }

func dir(name string) storetest.File { return storetest.File{Name: name + "/"} }

// layers unpacks tars, the lowest first, and returns the directories, the
// uppermost first.
func layers(t *testing.T, tars ...[]storetest.File) []string {
	t.Helper()
	var dirs []string
	for _, files := range tars {
		d := t.TempDir()
		if _, err := archive.Unpack(t.Context(), bytes.NewReader(storetest.Tar(t, files...)), d, archive.Options{}); err != nil {
			t.Fatal(err)
		}
		dirs = slices.Insert(dirs, 0, d)
	}
	return dirs
}

// stack has every way in which one layer speaks about another.
func stack(t *testing.T) []string {
	t.Helper()
	return layers(t,
		[]storetest.File{
			dir("etc"), file("etc/keep", "1"), file("etc/gone", "1"), file("etc/over", "1"),
			dir("opaque"), file("opaque/old", "1"), dir("opaque/sub"), file("opaque/sub/x", "1"),
			dir("dir-to-file"), file("dir-to-file/in", "1"), file("file-to-dir", "1"), dir("removed"), file("removed/in", "1"),
		},
		[]storetest.File{
			dir("etc"), file("etc/over", "22"), file("etc/.wh.gone", ""), dir("opaque"), file("opaque/.wh..wh..opq", ""), file("opaque/new", "2"),
			file("dir-to-file", "2"), dir("file-to-dir"), file("file-to-dir/in", "2"), file(".wh.removed", ""),
		},
		[]storetest.File{
			dir("etc"), file("etc/top", "3"), dir("removed"), file("removed/again", "3"), dir("opaque"), file("opaque/old", "3"),
			{Name: "link", Header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "/etc"}},
		})
}

func open(t *testing.T, how func(...string) (*view.View, error), dirs ...string) *view.View {
	t.Helper()
	v, err := how(dirs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// list writes every file as a tar header tells it, sorted.
func list(t *testing.T, r io.Reader) []string {
	t.Helper()
	var out []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			slices.Sort(out)
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %c %o %q %s", h.Name, h.Typeflag, h.Mode, body, h.Linkname))
	}
}

func packed(t *testing.T, v *view.View) []string {
	t.Helper()
	var buf bytes.Buffer
	p := archive.NewPacker(&buf, archive.PackOptions{})
	if err := errors.Join(v.Pack(t.Context(), p, nil), p.Close()); err != nil {
		t.Fatal(err)
	}
	return list(t, &buf)
}

// A view shows what the kernel's overlay shows of the same layers.
func TestViewIsWhatOverlayShows(t *testing.T) {
	dirs := stack(t)
	mnt, err := sys.MountOverlay(sys.Overlay{Lower: dirs, UserXattr: true, Scratch: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer mnt.Close()
	root := fmt.Sprintf("/proc/self/fd/%d", mnt.Fd())
	want := packed(t, open(t, view.Open, root+"/."))
	got := packed(t, open(t, view.Open, dirs...))
	if !slices.Equal(got, want) || len(got) < 10 {
		t.Errorf("view:\n%s\noverlay:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func compare(t *testing.T, now, before *view.View) []string {
	t.Helper()
	changes, err := view.Compare(t.Context(), now, before)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range changes {
		out = append(out, c.Kind.String()+" "+c.Path)
	}
	return out
}

func TestCompare(t *testing.T) {
	dirs := stack(t)
	got := compare(t, open(t, view.Open, dirs[1:]...), open(t, view.Open, dirs[2:]...))
	want := []string{
		"C /dir-to-file", "C /etc", "D /etc/gone", "C /etc/over", "C /file-to-dir", "A /file-to-dir/in",
		"C /opaque", "A /opaque/new", "D /opaque/old", "D /opaque/sub", "D /removed",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	same := open(t, view.Open, dirs...)
	if got := compare(t, same, open(t, view.Open, dirs...)); got != nil {
		t.Errorf("a view differs from itself: %q", got)
	}
}

// The same bytes, mode and time in the writable layer are still a change: a write
// can restore all of that.
func TestCompareWritable(t *testing.T) {
	dirs := layers(t, []storetest.File{dir("d"), file("d/f", "1"), file("d/g", "1")}, []storetest.File{dir("d"), file("d/f", "1"), file("d/g", "2")})
	below := open(t, view.Open, dirs[1:]...)
	if got := compare(t, open(t, view.OpenWritable, dirs...), below); !slices.Equal(got, []string{"C /d", "C /d/f", "C /d/g"}) {
		t.Errorf("writable: %q", got)
	}
	if got := compare(t, open(t, view.Open, dirs...), below); !slices.Equal(got, []string{"C /d", "C /d/g"}) {
		t.Errorf("two images: %q", got)
	}
}

// What PackChanges writes, unpacked over the older view, gives the newer one.
func TestPackChangesRoundTrip(t *testing.T) {
	dirs := stack(t)
	for n := 1; n < len(dirs); n++ {
		now, before := open(t, view.Open, dirs...), open(t, view.Open, dirs[n:]...)
		changes, err := view.Compare(t.Context(), now, before)
		if err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		p := archive.NewPacker(&buf, archive.PackOptions{})
		if err := errors.Join(now.PackChanges(t.Context(), p, changes), p.Close()); err != nil {
			t.Fatal(err)
		}
		fresh := t.TempDir()
		if _, err := archive.Unpack(t.Context(), &buf, fresh, archive.Options{}); err != nil {
			t.Fatal(err)
		}
		again := open(t, view.Open, append([]string{fresh}, dirs[n:]...)...)
		if got, want := packed(t, again), packed(t, now); !slices.Equal(got, want) {
			t.Errorf("%d layers in one:\n%s\nwant:\n%s", n, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestPackSkips(t *testing.T) {
	v := open(t, view.Open, layers(t, []storetest.File{dir("run"), file("run/pid", "1"), file("x", "1")})...)
	var buf bytes.Buffer
	p := archive.NewPacker(&buf, archive.PackOptions{})
	skip := func(p string) bool { return p == "/run" }
	if err := errors.Join(v.Pack(t.Context(), p, skip), p.Close()); err != nil {
		t.Fatal(err)
	}
	got := list(t, &buf)
	if len(got) != 2 || !strings.HasPrefix(got[0], "run/pid ") || !strings.HasPrefix(got[1], "x ") {
		t.Errorf("got %q", got)
	}
}

func TestPackerLinksAndAttributes(t *testing.T) {
	d := t.TempDir()
	if err := os.WriteFile(d+"/a", []byte("body"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Link(d+"/a", d+"/b"), os.Chown(d+"/a", 5, 6), os.Symlink("/etc/passwd", d+"/l")); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(d + "/a")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(sys.SetXattr(f, "user.note", []byte("n")), sys.SetXattr(f, "user.overlay.origin", []byte("o"))); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	p := archive.NewPacker(&buf, archive.PackOptions{UID: func(id uint32) uint32 { return id + 100 }})
	if err := errors.Join(open(t, view.Open, d).Pack(t.Context(), p, nil), p.Close()); err != nil {
		t.Fatal(err)
	}
	tr := tar.NewReader(&buf)
	a, aerr := tr.Next()
	b, berr := tr.Next()
	l, lerr := tr.Next()
	if err := errors.Join(aerr, berr, lerr); err != nil {
		t.Fatal(err)
	}
	if a.Uid != 105 || a.Gid != 6 || a.PAXRecords["SCHILY.xattr.user.note"] != "n" || a.PAXRecords["SCHILY.xattr.user.overlay.origin"] != "" {
		t.Errorf("a: %+v", a)
	}
	if b.Typeflag != tar.TypeLink || b.Linkname != "a" || l.Typeflag != tar.TypeSymlink || l.Linkname != "/etc/passwd" {
		t.Errorf("b: %+v\nl: %+v", b, l)
	}
}

// A container writes while it is read: no error, and no file from outside.
func TestPackWhileItChanges(t *testing.T) {
	d := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for _, name := range []string{"f", "d"} {
				p := path.Join(d, name)
				_ = os.RemoveAll(p)
				_ = os.Symlink(secret, p)
				_ = os.Remove(p)
				_ = os.WriteFile(p, []byte("plain"), 0o600)
				_ = os.Remove(p)
				_ = os.Symlink(filepath.Dir(secret), p)
				_ = os.Remove(p)
				_ = os.MkdirAll(p+"/secret", 0o700)
			}
		}
	}()
	v := open(t, view.Open, d)
	for range 300 {
		var buf bytes.Buffer
		p := archive.NewPacker(&buf, archive.PackOptions{})
		if err := v.Pack(t.Context(), p, nil); err != nil {
			t.Error(err)
			break
		}
		if bytes.Contains(buf.Bytes(), []byte("canary")) {
			t.Error("a link was followed")
			break
		}
	}
	stop()
	<-done
}
