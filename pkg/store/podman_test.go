package store_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/store"
)

// podman runs Podman on the store that s has open.
func podman(t *testing.T, s *store.Store, args ...string) string {
	t.Helper()
	home := t.TempDir()
	common := []string{"--root", s.Root(), "--runroot", s.RunRoot(), "--storage-driver", "overlay", "--storage-opt", "overlay.skip_mount_home=true", "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--tmpdir", filepath.Join(home, "tmp")}
	cmd := exec.CommandContext(t.Context(), "podman", append(common, args...)...)
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "CONTAINERS_STORAGE_CONF=") })
	cmd.Env = append(env, "HOME="+home, "XDG_RUNTIME_DIR="+home, "XDG_CONFIG_HOME="+home)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("podman %q: %v\n%s%s", args, err, out, stderr.String())
	}
	return string(out)
}

// TestPodman has Podman read what we put, and us what Podman loaded.
func TestPodman(t *testing.T) {
	if _, err := exec.LookPath("podman"); err != nil {
		t.Skip("podman is not installed")
	}
	s := open(t, store.Options{})
	file := dockerTar(t, twoLayers(t), "localhost/two:latest")
	ours := load(t, s, file)
	var seen []struct {
		ID       string `json:"Id"`
		Digest   string
		RepoTags []string
		RootFS   struct{ Layers []string }
		Config   struct{ Cmd []string }
	}
	if err := json.Unmarshal([]byte(podman(t, s, "image", "inspect", "localhost/two:latest")), &seen); err != nil {
		t.Fatal(err)
	}
	img, err := s.Lookup(ours)
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 1 || seen[0].ID != ours || seen[0].Digest != img.Digest || !slices.Equal(seen[0].Config.Cmd, []string{"/bin/x"}) || len(seen[0].RootFS.Layers) != 2 {
		t.Errorf("podman sees %+v, we %+v", seen, img)
	}
	// Its copy of our image is the image: it puts the layers together again from
	// files and tar-split records, and checks their digests.
	saved := filepath.Join(t.TempDir(), "saved.tar")
	podman(t, s, "save", "-q", "-o", saved, "localhost/two:latest")
	podman(t, s, "rmi", "localhost/two:latest")
	if _, err := s.Lookup(ours); err == nil {
		t.Error("podman removed the image, and we see it still")
	}
	if got := load(t, s, saved); got != ours {
		t.Errorf("what podman saved is image %s", got)
	}
	if err := s.Remove(ours); err != nil {
		t.Fatal(err)
	}

	podman(t, s, "load", "-q", "-i", file)
	theirs, err := s.Lookup("localhost/two")
	if err != nil {
		t.Fatal(err)
	}
	if theirs.ID != ours || theirs.Digest != img.Digest || theirs.Size != img.Size || !slices.Equal(theirs.Layers, img.Layers) || !slices.Equal(theirs.RepoDigests, img.RepoDigests) {
		t.Errorf("podman stored %+v, we %+v", theirs, img)
	}
	if _, err := s.CreateContainer(cid, theirs.ID, store.ContainerOptions{}); err != nil {
		t.Fatal(err)
	}
	root, r := rootOf(t, s)
	checkTwoLayers(t, root)
	r.Close()
	// Putting the same image again finds every layer there.
	var p statuses
	if _, err := s.Put(t.Context(), twoLayers(t), []string{"localhost/again:latest"}, &p); err != nil {
		t.Fatal(err)
	}
	if want := []string{store.StatusExists, store.StatusExists}; !slices.Equal(p, want) {
		t.Errorf("layers: %q, want %q", p, want)
	}
	if got := podman(t, s, "ps", "-a", "--external", "--no-trunc", "--format", "{{.ID}}"); !strings.Contains(got, cid) {
		t.Errorf("podman sees the containers %q", got)
	}
}

type statuses []string

func (s *statuses) Layer(string, int64) store.LayerProgress { return s }
func (s *statuses) Add(int64)                               {}
func (s *statuses) Done(status string)                      { *s = append(*s, status) }

func dockerTar(t *testing.T, img v1.Image, tag string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	ref, err := name.NewTag(tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(path, ref, img); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, s *store.Store, path string) string {
	t.Helper()
	a, err := archive.Open(path, s.Root())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	return put(t, s, a.Images[0].Image, a.Images[0].Names...)
}
