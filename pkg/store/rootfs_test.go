package store_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/store/storetest"
	"github.com/nook-containers/nook/pkg/store/view"
)

// needFuse skips where fuse-overlayfs cannot work.
func needFuse(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("fuse-overlayfs"); err != nil {
		t.Skip("fuse-overlayfs is not installed")
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("the kernel has no FUSE for us: %v", err)
	}
	f.Close()
}

func TestFallbacks(t *testing.T) {
	for _, tc := range []struct{ mount, how string }{
		{"overlay", store.HowOverlay}, {"fuse", store.HowFuse}, {"copy", store.HowCopy},
	} {
		for place, make := range map[string]func(*testing.T, *store.Store, string, string) layers{"own": ownLayer, "store": storeLayer} {
			t.Run(tc.mount+" "+place, func(t *testing.T) {
				if tc.mount == "fuse" {
					needFuse(t)
				}
				s := open(t, store.Options{Opts: []string{"nook.mount=" + tc.mount}})
				id := put(t, s, twoLayers(t), "localhost/two:latest")
				testRoot(t, tc.how, make(t, s, id, cid), make(t, s, id, "decaf"+cid[5:]))
				noMounts(t, s)
			})
		}
	}
}

// What containers/storage wrote for fuse-overlayfs is not given to the kernel.
func TestNamedWhiteouts(t *testing.T) {
	needFuse(t)
	o := store.Options{Root: filepath.Join(t.TempDir(), "a,b"), RunRoot: t.TempDir()} // its mount takes a comma for the end
	s := open(t, o)
	id := put(t, s, twoLayers(t), "localhost/two:latest")
	testRoot(t, store.HowFuse, ownLayer(t, s, id, "a"), ownLayer(t, s, id, "b"))
	if _, err := s.MountImage(id, "", false); err == nil {
		t.Error("mounted with files that the image does not have")
	}
	s.Close()
	o.Opts = []string{"nook.mount=overlay"}
	if _, err := open(t, o).OwnRoot(t.TempDir(), id, false, nil); problem.HintOf(err) == "" {
		t.Errorf("mounted by the kernel's overlay: %v", err)
	}
}

// layers is a writable layer on an image.
type layers struct {
	mount func() (*store.RootFS, error)
	files func() (*store.Files, error)
}

func ownLayer(t *testing.T, s *store.Store, image, id string) layers {
	t.Helper()
	dir := filepath.Join(t.TempDir(), id)
	return layers{
		func() (*store.RootFS, error) { return s.OwnRoot(dir, image, false, nil) },
		func() (*store.Files, error) { return s.OwnFiles(dir, image) },
	}
}

func storeLayer(t *testing.T, s *store.Store, image, id string) layers {
	t.Helper()
	if _, err := s.CreateContainer(id, image, store.ContainerOptions{}); err != nil {
		t.Fatal(err)
	}
	return layers{
		func() (*store.RootFS, error) { return s.RootFS(id) },
		func() (*store.Files, error) { return s.ContainerFiles(id) },
	}
}

// testRoot mounts, writes and mounts again; the image is as it was for another.
func testRoot(t *testing.T, how string, c, other layers) {
	t.Helper()
	root, r := mounted(t, c.mount)
	if r.How != how {
		t.Errorf("mounted by %q", r.How)
	}
	if (r.Notice != "") != (how == store.HowCopy) {
		t.Errorf("notice %q", r.Notice)
	}
	checkTwoLayers(t, root)
	if err := os.WriteFile(root+"/etc/keep", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Close()
	again, _ := mounted(t, c.mount)
	if data, err := os.ReadFile(again + "/etc/keep"); string(data) != "mine" {
		t.Errorf("after a restart: %q, %v", data, err)
	}
	f, err := c.files()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	changes, err := view.Compare(t.Context(), f.Now, f.Before)
	if err != nil || !slices.ContainsFunc(changes, func(c view.Change) bool { return c.Path == "/etc/keep" && c.Kind == view.Changed }) {
		t.Errorf("changes %v, %v", changes, err)
	}
	fresh, _ := mounted(t, other.mount)
	if data, err := os.ReadFile(fresh + "/etc/keep"); string(data) != "one" {
		t.Errorf("in a new container: %q, %v", data, err)
	}
}

func noMounts(t *testing.T, s *store.Store) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), s.Root()) {
		t.Errorf("a mount is left:\n%s", mounts)
	}
}

// TestMappedOwners checks who owns files for a container in a user namespace
// below ours: id 0 of the image is 1 out here, and 33 is 34.
func TestMappedOwners(t *testing.T) {
	maps := []store.IDMap{{Inside: 0, Outside: 1, Size: 1000}}
	for _, mount := range []string{"fuse", "copy"} {
		t.Run(mount, func(t *testing.T) {
			opts := []string{"nook.mount=fuse"}
			if mount == "fuse" {
				needFuse(t)
			} else {
				opts = []string{"nook.mount=overlay"} // no fuse-overlayfs: owners are changed on disk
			}
			s := open(t, store.Options{Opts: opts})
			id := put(t, s, twoLayers(t), "localhost/two:latest")
			var notices []string
			for range 2 {
				_, err := s.CreateContainer(cid, id, store.ContainerOptions{UIDMap: maps, GIDMap: maps, Notice: func(n string) { notices = append(notices, n) }})
				if err != nil {
					t.Fatal(err)
				}
				root, r := rootOf(t, s)
				for path, want := range map[string][2]uint32{"/owned": {34, 45}, "/etc/keep": {1, 1}, "/etc/added": {1, 1}, "/etc": {1, 1}, "/": {1, 1}} {
					if uid, gid, _ := ownerOf(t, root+path); uid != want[0] || gid != want[1] {
						t.Errorf("%s is of %d:%d, want %v", path, uid, gid, want)
					}
				}
				r.Close()
				if err := s.DeleteContainer(cid); err != nil {
					t.Fatal(err)
				}
			}
			// Only the first container needs a copy, and says so before.
			if want := map[string]int{"fuse": 0, "copy": 1}[mount]; len(notices) != want {
				t.Errorf("notices %q, want %d", notices, want)
			}
			noMounts(t, s)
			if err := s.Remove(id); err != nil {
				t.Errorf("remove the image and its copies: %v", err)
			}
		})
	}
}

func TestVFS(t *testing.T) {
	s := open(t, store.Options{Driver: "vfs"})
	id := put(t, s, twoLayers(t), "localhost/two:latest")
	if _, err := s.CreateContainer(cid, id, store.ContainerOptions{}); err != nil {
		t.Fatal(err)
	}
	root, r := rootOf(t, s)
	if r.How != store.HowCopy {
		t.Errorf("mounted by %q", r.How)
	}
	checkTwoLayers(t, root)
	r.Close()
	if err := s.DeleteContainer(cid); err != nil {
		t.Fatal(err)
	}
}

func TestManyLayers(t *testing.T) {
	s := open(t, store.Options{})
	var tars [][]byte
	for i := range 150 {
		tars = append(tars, storetest.Tar(t, storetest.File{Name: "f" + itoa(i), Body: "x"}))
	}
	id := put(t, s, storetest.Image(t, nil, tars...), "localhost/many:latest")
	if _, err := s.CreateContainer(cid, id, store.ContainerOptions{Volatile: true}); err != nil {
		t.Fatal(err)
	}
	root, _ := rootOf(t, s)
	if got := len(names(t, root+"/")); got != 150 {
		t.Errorf("%d files, want 150", got)
	}
}

func TestNoLayers(t *testing.T) {
	s := open(t, store.Options{})
	id := put(t, s, storetest.Image(t, nil), "localhost/scratch:latest")
	if _, err := s.CreateContainer(cid, id, store.ContainerOptions{}); err != nil {
		t.Fatal(err)
	}
	root, _ := rootOf(t, s)
	if got := names(t, root+"/"); len(got) != 0 {
		t.Errorf("an empty image has %q", got)
	}
}

func TestBindRoot(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := store.BindRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := names(t, "/proc/self/fd/"+itoa(int(f.Fd()))+"/"); len(got) != 1 || got[0] != "x" {
		t.Errorf("the mount shows %q", got)
	}
	if _, err := store.BindRoot(dir + "/x"); err == nil {
		t.Error("a file was taken for a root")
	}
	if _, err := store.BindRoot(dir + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
}
