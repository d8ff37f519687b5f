package store_test

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"go.podman.io/storage"
	"go.podman.io/storage/pkg/archive"

	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/store/storetest"
)

// Files of owners that do not exist here are root's; the layer is kept as it was,
// so that whatever reads it from the store gets the same bytes.
func TestMissingOwnersAreKept(t *testing.T) {
	var notices []string
	o := store.Options{
		Root: filepath.Join(t.TempDir(), "root"), RunRoot: filepath.Join(t.TempDir(), "run"),
		Notice:  func(text string) { notices = append(notices, text) },
		MoreIDs: func(uint32) (string, error) { return "usermod …", nil },
	}
	s := open(t, o)
	tar := storetest.Tar(t, owned("big", 172_761_424), owned("bigger", 172_761_425))
	put(t, s, storetest.Image(t, nil, tar), "localhost/big:latest")
	if len(notices) != 1 || !strings.HasPrefix(notices[0], "2 owners") || !strings.Contains(notices[0], "172761425") || !strings.Contains(notices[0], "run: usermod …") {
		t.Errorf("notices %q", notices)
	}
	st := raw(t, o)
	layers, err := st.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	plain := archive.Uncompressed
	r, err := st.Diff("", layers[0].ID, &storage.DiffOptions{Compression: &plain})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, tar) {
		t.Errorf("the layer came back as %d other bytes, %v", len(got), err)
	}
}
