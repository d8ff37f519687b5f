package store_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"go.podman.io/storage"
	"go.podman.io/storage/types"

	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/store/storetest"
	"github.com/nook-containers/nook/pkg/sys"
)

// raw opens the store without our view of it.
func raw(t *testing.T, o store.Options) storage.Store {
	t.Helper()
	st, err := storage.GetStore(types.StoreOptions{
		GraphRoot: o.Root, RunRoot: o.RunRoot, GraphDriverName: "overlay", GraphDriverOptions: []string{"overlay.skip_mount_home=true"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Free)
	return st
}

// half leaves what a process leaves that is killed between the first and the
// second write of an image's record, and beside it localhost/whole, of the same
// layers. It returns the half image's id.
func half(t *testing.T, o store.Options, name string) string {
	t.Helper()
	s := open(t, o)
	img := twoLayers(t)
	id := put(t, s, img, name)
	other, err := mutate.Config(img, v1.Config{Cmd: []string{"/bin/other"}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, other, "localhost/whole:latest")
	st := raw(t, o)
	rec, err := st.Image(id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.DeleteImage(id, true); err != nil {
		t.Fatal(err)
	}
	if _, err := st.CreateImage(id, rec.Names, rec.TopLayer, "{}", &storage.ImageOptions{Digest: rec.Digest}); err != nil {
		t.Fatal(err)
	}
	return id
}

func twoRoots(t *testing.T) store.Options {
	t.Helper()
	return store.Options{Root: filepath.Join(t.TempDir(), "root"), RunRoot: filepath.Join(t.TempDir(), "run"), BootID: "first"}
}

// Half an image is nobody's image, by name, id or in a list; whoever stores another
// one removes it, and so does the next boot.
func TestHalfImageIsNone(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, o store.Options){
		"another image": func(t *testing.T, o store.Options) {
			t.Helper()
			put(t, open(t, o), storetest.Image(t, nil), "localhost/other:latest")
		},
		"next boot": func(t *testing.T, o store.Options) {
			t.Helper()
			o.BootID = "second"
			open(t, o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := twoRoots(t)
			id := half(t, o, "localhost/x:latest")
			s := open(t, o)
			if all, err := s.Images(); err != nil || len(all) != 1 || all[0].ID == id {
				t.Errorf("listed: %v, %v", all, err)
			}
			for _, ref := range []string{id, id[:12], "localhost/x:latest", "x"} {
				if img, err := s.Lookup(ref); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s: got %v, %v", ref, img, err)
				}
			}
			if _, err := raw(t, o).Image(id); err != nil {
				t.Fatal("the test is void: there is no record: ", err)
			}
			end(t, o)
			if img, err := raw(t, o).Image(id); err == nil {
				t.Errorf("still on disk: %v", img)
			}
			if _, err := open(t, o).Lookup("localhost/whole"); err != nil {
				t.Error(err)
			}
		})
	}
}

// The image that is stored again is completed.
func TestHalfImageIsCompleted(t *testing.T) {
	o := twoRoots(t)
	id := half(t, o, "localhost/x:latest")
	s := open(t, o)
	put(t, s, twoLayers(t), "localhost/y:latest")
	for _, name := range []string{"localhost/x", "localhost/y"} {
		img, err := s.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := img.Config()
		if err != nil || img.ID != id || cfg.Config.Cmd[0] != "/bin/x" {
			t.Errorf("%s: %s, %v, %v", name, img.ID, cfg, err)
		}
		if _, err := img.RawManifest(); err != nil {
			t.Error(err)
		}
	}
}

// TestKilledAtEveryRecord kills a process that puts one image right after each
// write of the list of images.
func TestKilledAtEveryRecord(t *testing.T) {
	if dir := os.Getenv("NOOK_TEST_PUT"); dir != "" {
		putForever(t, dir)
		return
	}
	dir := t.TempDir()
	o := store.Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run")}
	open(t, o).Close()
	lists, err := os.Open(filepath.Join(o.Root, "overlay-images"))
	if err != nil {
		t.Fatal(err)
	}
	defer lists.Close()
	halves := 0
	for round := range 16 {
		killAtWrite(t, dir, lists, 1+round%4)
		if brokenRecords(t, o) {
			halves++
		}
		checkWhole(t, dir)
	}
	if halves == 0 {
		t.Error("the test is void: no image was half written")
	}
}

// killAtWrite kills the process at its nth write of images.json.
func killAtWrite(t *testing.T, dir string, lists *os.File, n int) {
	t.Helper()
	watch, err := sys.WatchDir(lists)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	if err := watch.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilledAtEveryRecord$")
	cmd.Env = append(os.Environ(), "NOOK_TEST_PUT="+dir, "NOOK_TEST_INSIDE=ready")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for n > 0 {
		changes, err := watch.Wait()
		if err != nil {
			t.Fatal(errors.Join(err, cmd.Process.Kill(), cmd.Wait()))
		}
		for _, c := range changes {
			if c.Added && c.Name == "images.json" {
				n--
			}
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("it was not killed")
	}
}

// brokenRecords reports whether a record on disk has no manifest.
func brokenRecords(t *testing.T, o store.Options) bool {
	t.Helper()
	st := raw(t, o)
	all, err := st.Images()
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range all {
		if _, err := st.ImageBigData(img.ID, storage.ImageDigestBigDataKey); err != nil {
			return true
		}
	}
	return false
}
