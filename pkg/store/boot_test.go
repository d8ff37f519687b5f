package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nook-containers/nook/pkg/store"
)

// TestReboot has volatile containers go with the boot they are of, and nothing
// else.
func TestReboot(t *testing.T) {
	o := store.Options{Root: filepath.Join(t.TempDir(), "root"), RunRoot: filepath.Join(t.TempDir(), "run"), BootID: "first"}
	s := open(t, o)
	id := put(t, s, twoLayers(t), "localhost/two:latest")
	const volatile = "dead" + "00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee"
	for name, v := range map[string]bool{cid: false, volatile[:64]: true} {
		if _, err := s.CreateContainer(name, id, store.ContainerOptions{Volatile: v}); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	again := open(t, o) // the same boot
	if all, err := again.Containers(); err != nil || len(all) != 2 {
		t.Errorf("%v, %v", all, err)
	}
	again.Close()
	o.BootID = "second"
	after := open(t, o)
	if all, err := after.Containers(); err != nil || len(all) != 1 || all[cid] != id {
		t.Errorf("after a reboot: %v, %v", all, err)
	}
	root, _ := rootOf(t, after)
	checkTwoLayers(t, root)
}

// TestPowerCut spoils the lists that are never synced.
func TestPowerCut(t *testing.T) {
	o := store.Options{Root: filepath.Join(t.TempDir(), "root"), RunRoot: filepath.Join(t.TempDir(), "run"), BootID: "first"}
	s := open(t, o)
	id := put(t, s, twoLayers(t), "localhost/two:latest")
	if _, err := s.CreateContainer(cid, id, store.ContainerOptions{Volatile: true}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	for _, name := range []string{"overlay-layers/volatile-layers.json", "overlay-containers/volatile-containers.json"} {
		if err := os.WriteFile(filepath.Join(o.Root, name), make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.BootID = "second"
	after := open(t, o)
	if all, err := after.Containers(); err != nil || len(all) != 0 {
		t.Errorf("after a power cut: %v, %v", all, err)
	}
	dirs := 0
	for _, name := range names(t, filepath.Join(o.Root, "overlay")) {
		if len(name) == 64 {
			dirs++
		}
	}
	if dirs != 2 {
		t.Errorf("%d layers on disk, want the image's 2", dirs)
	}
	if _, err := after.CreateContainer(cid, id, store.ContainerOptions{}); err != nil {
		t.Fatal(err)
	}
	root, _ := rootOf(t, after)
	checkTwoLayers(t, root)
}
