package archive_test

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/store/storetest"
	"github.com/nook-containers/nook/pkg/sys"
)

// into unpacks files in under of a tree that has root as its root.
func into(t *testing.T, root, under string, o archive.Options, files ...storetest.File) error {
	t.Helper()
	f, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tree, err := sys.LiveTree(f)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	return archive.UnpackInto(t.Context(), bytes.NewReader(storetest.Tar(t, files...)), tree, under, o)
}

func put(t *testing.T, path, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, path, body string) {
	t.Helper()
	if got, err := os.ReadFile(path); string(got) != body {
		t.Errorf("%s: %q, %v; want %q", path, got, err, body)
	}
}

// Links that the tree has lead where a process with that root would get, and
// those of the archive nowhere else.
func TestUnpackIntoStaysInTheTree(t *testing.T) {
	host := t.TempDir()
	root := filepath.Join(host, "root")
	put(t, host+"/outside/f", "host")
	put(t, root+"/run/old", "")
	put(t, root+"/var/x", "")
	if err := os.Symlink("/run", root+"/var/run"); err != nil {
		t.Fatal(err)
	}
	err := into(t, root, "/var", archive.Options{},
		storetest.File{Name: "./", Header: tar.Header{Mode: 0o700}},
		storetest.File{Name: "run/new", Body: "in"},
		storetest.File{Name: "evil", Header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: host + "/outside"}},
		storetest.File{Name: "evil/f", Body: "bad"},
		storetest.File{Name: "up", Header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "../../outside"}},
		storetest.File{Name: "up/f", Body: "bad"},
		storetest.File{Name: ".wh.x", Body: "a plain file"},
	)
	if err != nil {
		t.Fatal(err)
	}
	want(t, root+"/run/new", "in")
	want(t, host+"/outside/f", "host")
	want(t, root+"/outside/f", "bad")
	want(t, root+"/var/.wh.x", "a plain file")
	want(t, root+"/var/x", "")
	if fi, err := os.Stat(root + "/var"); err != nil || fi.Mode().Perm() != 0o755 {
		t.Errorf("the destination's own mode changed: %v, %v", fi.Mode(), err)
	}
	err = into(t, root, "/var", archive.Options{},
		storetest.File{Name: "hard", Header: tar.Header{Typeflag: tar.TypeLink, Linkname: "../../outside/f"}})
	if err == nil || !strings.Contains(err.Error(), "leads out") {
		t.Errorf("hard link to the outside: %v", err)
	}
}

func TestUnpackIntoOptions(t *testing.T) {
	root := t.TempDir()
	put(t, root+"/d/file", "old")
	put(t, root+"/d/dir/in", "old")
	keep := archive.Options{KeepKinds: true}
	if err := into(t, root, "d", keep, storetest.File{Name: "dir", Body: "f"}); err == nil {
		t.Error("a file replaced a directory")
	}
	if err := into(t, root, "d", keep, storetest.File{Name: "file/"}); err == nil {
		t.Error("a directory replaced a file")
	}
	link := storetest.File{Name: "dir", Header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "x"}}
	if err := into(t, root, "d", keep, link); err == nil {
		t.Error("a link replaced a directory")
	}
	want(t, root+"/d/dir/in", "old")
	want(t, root+"/d/file", "old")
	if err := into(t, root, "d", keep, storetest.File{Name: "file", Body: "new"}, storetest.File{Name: "dir/"}); err != nil {
		t.Error(err)
	}
	want(t, root+"/d/file", "new")
	if err := into(t, root, "d", archive.Options{}, storetest.File{Name: "dir", Body: "f"}); err != nil {
		t.Error(err)
	}
	want(t, root+"/d/dir", "f")

	o := archive.Options{DropSetID: true, Owner: func(uid, gid int) (int, int) { return uid - 41000 + os.Getuid(), gid - 42000 + os.Getgid() }}
	suid := storetest.File{Name: "s", Body: "s", Header: tar.Header{Mode: 0o6755, Uid: 41000, Gid: 42000}}
	if err := into(t, root, "d", o, suid); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(root + "/d/s"); err != nil || fi.Mode() != 0o755 {
		t.Errorf("mode %v, %v; want no set-user-ID bit", fi.Mode(), err)
	}
}
