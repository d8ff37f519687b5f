package store_test

import (
	"archive/tar"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func open(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	if o.Root == "" {
		o.Root, o.RunRoot = filepath.Join(t.TempDir(), "root"), filepath.Join(t.TempDir(), "run")
	}
	s, err := store.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, s *store.Store, img v1.Image, names ...string) string {
	t.Helper()
	id, err := s.Put(t.Context(), img, names, nil)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// twoLayers is an image whose second layer changes, hides and replaces.
func twoLayers(t *testing.T) v1.Image {
	t.Helper()
	return storetest.Image(t, func(c *v1.ConfigFile) { c.Config.Cmd = []string{"/bin/x"} },
		storetest.Tar(t,
			storetest.File{Name: "etc/"}, storetest.File{Name: "etc/keep", Body: "one"},
			storetest.File{Name: "etc/hidden", Body: "gone"},
			storetest.File{Name: "opaque/"}, storetest.File{Name: "opaque/old", Body: "old"},
			storetest.File{Name: "owned", Body: "x", Header: tar.Header{Uid: 33, Gid: 44, Mode: 0o4750}},
		),
		storetest.Tar(t,
			storetest.File{Name: "etc/"}, storetest.File{Name: "etc/.wh.hidden"},
			storetest.File{Name: "etc/added", Body: "two"},
			storetest.File{Name: "opaque/"}, storetest.File{Name: "opaque/.wh..wh..opq"}, storetest.File{Name: "opaque/new", Body: "new"},
		))
}

// rootOf mounts the root of the container cid and returns a directory that shows it.
func rootOf(t *testing.T, s *store.Store) (string, *store.RootFS) {
	t.Helper()
	return mounted(t, func() (*store.RootFS, error) { return s.RootFS(cid) })
}

func mounted(t *testing.T, mount func() (*store.RootFS, error)) (string, *store.RootFS) {
	t.Helper()
	r, err := mount()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return "/proc/self/fd/" + itoa(int(r.Mount.Fd())), r
}

func itoa(n int) string {
	var b []byte
	for ; n > 0 || b == nil; n /= 10 {
		b = append(b, byte('0'+n%10))
	}
	slices.Reverse(b)
	return string(b)
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

const cid = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"

func checkTwoLayers(t *testing.T, root string) {
	t.Helper()
	if got, want := names(t, root+"/"), []string{"etc", "opaque", "owned"}; !slices.Equal(got, want) {
		t.Errorf("root has %q, want %q", got, want)
	}
	if got, want := names(t, root+"/etc"), []string{"added", "keep"}; !slices.Equal(got, want) {
		t.Errorf("/etc has %q, want %q", got, want)
	}
	if got, want := names(t, root+"/opaque"), []string{"new"}; !slices.Equal(got, want) {
		t.Errorf("/opaque has %q, want %q", got, want)
	}
	uid, gid, mode := ownerOf(t, root+"/owned")
	if uid != 33 || gid != 44 || mode != 0o4750 {
		t.Errorf("/owned is of %d:%d, mode %o", uid, gid, mode)
	}
}

func TestPutAndMount(t *testing.T) {
	s := open(t, store.Options{})
	id := put(t, s, twoLayers(t), "localhost/two:latest")
	for _, volatile := range []bool{false, true} {
		if _, err := s.CreateContainer(cid, id, store.ContainerOptions{Volatile: volatile}); err != nil {
			t.Fatal(err)
		}
		root, how := rootOf(t, s)
		if how.How != store.HowOverlay {
			t.Errorf("mounted by %q", how.How)
		}
		checkTwoLayers(t, root)
		if err := os.WriteFile(root+"/etc/keep", []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		how.Close()
		// A second mount, as after a restart, has what the first wrote.
		again, _ := rootOf(t, s)
		if data, err := os.ReadFile(again + "/etc/keep"); string(data) != "mine" {
			t.Errorf("after a restart: %q, %v", data, err)
		}
		if err := s.Remove(id); !errors.Is(err, store.ErrInUse) {
			t.Errorf("removing the image of a container: %v", err)
		}
		if err := s.DeleteContainer(cid); err != nil {
			t.Fatal(err)
		}
	}
	noMounts(t, s)
}

func TestParallelPuts(t *testing.T) {
	s := open(t, store.Options{})
	var wg sync.WaitGroup
	ids := make([]string, 16)
	img := twoLayers(t)
	for i := range ids {
		wg.Go(func() {
			id, err := s.Put(t.Context(), img, []string{"localhost/n" + itoa(i) + ":latest"}, nil)
			if err != nil {
				t.Error(err)
			}
			ids[i] = id
		})
	}
	wg.Wait()
	images, err := s.Images()
	if err != nil || len(images) != 1 {
		t.Fatalf("%d images, %v", len(images), err)
	}
	if len(images[0].Names) != len(ids) || images[0].ID != ids[0] {
		t.Errorf("got %+v", images[0])
	}
	if left := names(t, filepath.Join(s.Root(), "overlay", "staging")); len(left) > 0 {
		t.Errorf("staging has %q", left)
	}
}

// A layer in a directory of the caller's is all that there is of a container, and its
// image stays while it is held or has users.
func TestOwn(t *testing.T) {
	users := map[string]string{}
	s := open(t, store.Options{Users: func() map[string]string { return users }})
	id := put(t, s, twoLayers(t), "localhost/two:latest")
	held, err := s.HoldImage(id)
	if err != nil {
		t.Fatal(err)
	}
	other := open(t, store.Options{Root: s.Root(), RunRoot: s.RunRoot(), Users: func() map[string]string { return users }})
	if err := other.Remove(id); !errors.Is(err, store.ErrInUse) {
		t.Errorf("removed an image that is held: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "layer")
	users[cid] = id
	held.Close()
	if f, err := s.OwnFiles(dir, id); err != nil {
		t.Errorf("files of one that never ran: %v", err)
	} else {
		f.Close()
	}
	for _, want := range [][]string{{"mine"}, {"mine", "more"}} {
		r, err := s.OwnRoot(dir, id, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		root := "/proc/self/fd/" + itoa(int(r.Mount.Fd()))
		if r.How != store.HowOverlay {
			t.Errorf("mounted by %q", r.How)
		}
		if len(want) == 1 {
			checkTwoLayers(t, root)
		}
		if err := os.WriteFile(root+"/etc/"+want[len(want)-1], nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := names(t, dir+"/upper/etc"); !slices.Equal(got, want) {
			t.Errorf("the writable layer has %q, want %q", got, want)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Remove(id); !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), cid[:12]) {
		t.Errorf("removed the image of a container: %v", err)
	}
	if all, err := s.Containers(); err != nil || len(all) != 0 {
		t.Errorf("containers/storage knows %v, %v", all, err)
	}
	clear(users)
	if err := other.Remove(id); err != nil {
		t.Errorf("when the container is gone: %v", err)
	}
	if _, err := s.HoldImage(id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("held an image that is gone: %v", err)
	}
	if _, err := s.OwnRoot(t.TempDir(), id, true, nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a root of no image: %v", err)
	}
}

// What is mounted on is there without a place in the writable layer, and no more than that:
// what the image has is the image's.
func TestPoints(t *testing.T) {
	s := open(t, store.Options{})
	id := put(t, s, twoLayers(t), "localhost/points:latest")
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	var both sync.WaitGroup
	for range 2 { // also where two want the first one of its kind at once
		dir := t.TempDir()
		both.Go(func() {
			r, err := s.OwnRoot(filepath.Join(dir, "layer"), id, false, []string{"/run/.mark", "/etc/keep", "/etc/none", "/etc/hidden"})
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			root := "/proc/self/fd/" + itoa(int(r.Mount.Fd()))
			for path, want := range map[string]os.FileMode{"/run": os.ModeDir | 0o755, "/run/.mark": 0o644, "/etc/none": 0o644} {
				if fi, err := os.Stat(root + path); err != nil || fi.Mode() != want {
					t.Errorf("%s: %v, %v, want mode %v", path, fi, err, want)
				}
			}
			if data, err := os.ReadFile(root + "/etc/keep"); string(data) != "one" {
				t.Errorf("a file of the image: %q, %v", data, err)
			}
			if got, want := names(t, root+"/etc"), []string{"added", "keep", "none"}; !slices.Equal(got, want) {
				t.Errorf("/etc has %q, want %q", got, want)
			}
			if got := names(t, filepath.Join(dir, "layer", "upper")); len(got) > 0 {
				t.Errorf("the writable layer has %q", got)
			}
		})
	}
	both.Wait()
	if got := names(t, filepath.Join(s.Root(), "nook.points")); len(got) != 1 {
		t.Errorf("trees to mount on: %q, want one", got)
	}
}

// A root that Podman has its containers in, too, has ours in its lists, but for those
// that end with us.
func TestCanOwn(t *testing.T) {
	s := open(t, store.Options{})
	if !s.CanOwn(false) || !s.CanOwn(true) {
		t.Error("layers are not our own in a root of our own")
	}
	if err := os.Mkdir(filepath.Join(s.Root(), "libpod"), 0o700); err != nil {
		t.Fatal(err)
	}
	if s.CanOwn(false) || !s.CanOwn(true) {
		t.Error("layers are our own in Podman's root")
	}
	if s := open(t, store.Options{Driver: "vfs"}); s.CanOwn(false) || s.CanOwn(true) {
		t.Error("layers are our own with vfs")
	}
}
