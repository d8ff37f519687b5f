package system

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nook-containers/nook/pkg/store"
)

func TestUsageCountsLayersOnce(t *testing.T) {
	image := func(id string, meta int64, layers []string, sizes ...int64) store.Image {
		img := store.Image{ID: id, Layers: layers, LayerSizes: sizes, Size: meta}
		for _, n := range sizes {
			img.Size += n
		}
		return img
	}
	u := &usage{}
	u.addImages([]store.Image{
		image("a", 1, []string{"top-a", "base"}, 10, 1000),
		image("b", 2, []string{"top-b", "base"}, 20, 1000),
		image("c", 4, []string{"top-c"}, 500),
	}, map[string]int{"a": 2})
	if want := int64(1000 + 10 + 20 + 500 + 1 + 2 + 4); u.imageBytes != want {
		t.Errorf("all images have %d bytes, want %d", u.imageBytes, want)
	}
	// b's own layer and all of c; the base is a's too.
	if want := int64(20 + 2 + 500 + 4); u.imageFree != want {
		t.Errorf("%d bytes can be freed, want %d", u.imageFree, want)
	}
	for i, want := range []struct{ shared, unique int64 }{{1000, 11}, {1000, 22}, {0, 504}} {
		if got := u.images[i]; got.shared != want.shared || got.unique != want.unique {
			t.Errorf("image %s: shared %d, unique %d; want %+v", got.ID, got.shared, got.unique, want)
		}
	}
	if k := u.kinds()[0]; k.total != 3 || k.active != 1 {
		t.Errorf("%d images, %d active; want 3 and 1", k.total, k.active)
	}
}

func TestDirBytesStaysInside(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	for path, size := range map[string]int{
		filepath.Join(outside, "big"): 10_000, filepath.Join(dir, "a"): 3, filepath.Join(dir, "sub", "b"): 4,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "x")); err != nil {
		t.Fatal(err)
	}
	want := int64(3 + 4 + len(outside)) // a link is as long as its text
	if got, err := dirBytes(dir); err != nil || got != want {
		t.Errorf("dirBytes = %d, %v; want %d", got, err, want)
	}
}
