package archive_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/opencontainers/go-digest"

	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/store/storetest"
)

// member is one file of an archive.
type member struct {
	name string
	data []byte
}

// dockerArchive is what "docker save" writes for images of one layer each.
func dockerArchive(tb testing.TB, names ...string) []member {
	tb.Helper()
	var entries []map[string]any
	var members []member
	for i, name := range names {
		layer := storetest.Tar(tb, file{Name: "f" + name, Body: name})
		config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["` + digest.FromBytes(layer).String() + `"]}}`)
		id := digest.FromBytes(config).Encoded()
		dir := string(rune('a' + i))
		members = append(members, member{id + ".json", config}, member{dir + "/layer.tar", layer})
		entries = append(entries, map[string]any{"Config": id + ".json", "RepoTags": []string{name}, "Layers": []string{dir + "/layer.tar"}})
	}
	manifest, err := json.Marshal(entries)
	if err != nil {
		tb.Fatal(err)
	}
	return append(members, member{"manifest.json", manifest})
}

func tarOf(tb testing.TB, members []member) []byte {
	tb.Helper()
	var files []file
	for _, m := range members {
		files = append(files, file{Name: m.name, Body: string(m.data)})
	}
	return storetest.Tar(tb, files...)
}

func writeFile(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenDocker(t *testing.T) {
	data := tarOf(t, dockerArchive(t, "one:1", "two:2"))
	for _, packed := range [][]byte{data, storetest.Gzip(t, data)} {
		a, err := archive.Open(writeFile(t, packed), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if len(a.Images) != 2 || a.Images[1].Names[0] != "two:2" {
			t.Fatalf("found %+v", a.Images)
		}
		for _, f := range a.Images {
			checkImage(t, f.Image)
		}
	}
}

// checkImage reads all of an image and compares digests.
func checkImage(t *testing.T, img v1.Image) {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.RawConfigFile()
	if err != nil || digest.FromBytes(config).String() != m.Config.Digest.String() || int64(len(config)) != m.Config.Size {
		t.Errorf("the configuration is not the manifest's (%v)", err)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != len(m.Layers) {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	for i, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		blob, err := io.ReadAll(r)
		r.Close()
		if err != nil || digest.FromBytes(blob).String() != m.Layers[i].Digest.String() || int64(len(blob)) != m.Layers[i].Size {
			t.Errorf("layer %d is not the manifest's (%v)", i, err)
		}
		u, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(u)
		u.Close()
		if want, _ := l.DiffID(); err != nil || digest.FromBytes(plain).String() != want.String() {
			t.Errorf("layer %d does not unpack to its DiffID (%v)", i, err)
		}
	}
}

// ociDir is a layout directory with an image of two layers.
func ociDir(t *testing.T) string {
	t.Helper()
	img := storetest.Image(t, nil, storetest.Tar(t, file{Name: "a", Body: "1"}), storetest.Tar(t, file{Name: "b", Body: "2"}))
	dir := t.TempDir()
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	err = p.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "example.com/oci:1"}))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOpenOCI(t *testing.T) {
	dir := ociDir(t)
	var files []file
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		files = append(files, file{Name: strings.TrimPrefix(path, dir+"/"), Body: string(data)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, writeFile(t, storetest.Tar(t, files...))} {
		a, err := archive.Open(path, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if len(a.Images) != 1 || a.Images[0].Names[0] != "example.com/oci:1" {
			t.Fatalf("found %+v", a.Images)
		}
		checkImage(t, a.Images[0].Image)
	}
}

// TestOpenPipe reads an archive that cannot be read twice.
func TestOpenPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	data := tarOf(t, dockerArchive(t, "one:1"))
	go func() {
		must(w.Write(data))
		w.Close()
	}()
	temp := t.TempDir()
	a, err := archive.OpenFile(r, temp)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	checkImage(t, a.Images[0].Image)
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("%v can be seen", left)
	}
}

// TestOpenDockerLinks has a layer that two images share, as docker saves it.
func TestOpenDockerLinks(t *testing.T) {
	members := dockerArchive(t, "one:1")
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for _, m := range members {
		name := m.name
		if name == "a/layer.tar" {
			name = "other/layer.tar"
		}
		must(0, tw.WriteHeader(&tar.Header{Name: name, Size: int64(len(m.data)), Mode: 0o644}))
		must(tw.Write(m.data))
	}
	must(0, tw.WriteHeader(&tar.Header{Name: "a/layer.tar", Typeflag: tar.TypeSymlink, Linkname: "../other/layer.tar"}))
	tw.Close()
	a, err := archive.Open(writeFile(t, out.Bytes()), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	checkImage(t, a.Images[0].Image)
}

func TestOpenRefuses(t *testing.T) {
	docker := dockerArchive(t, "one:1")
	without := func(name string) []byte {
		var kept []member
		for _, m := range docker {
			if m.name != name {
				kept = append(kept, m)
			}
		}
		return tarOf(t, kept)
	}
	changed := func(name, data string) []byte {
		kept := append([]member(nil), docker...)
		for i := range kept {
			if kept[i].name == name {
				kept[i].data = []byte(data)
			}
		}
		return tarOf(t, kept)
	}
	config := docker[0].name
	whole := tarOf(t, docker)
	for _, tc := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "empty"},
		{"text", []byte(strings.Repeat("text\n", 500)), "not a tar"},
		{"root file system", storetest.Tar(t, file{Name: "etc/passwd", Body: "x"}), "no image archive"},
		{"no layer", without("a/layer.tar"), "lacks"},
		{"no configuration", without(config), "lacks " + config},
		{"wrong configuration", changed(config, `{"rootfs":{"diff_ids":[]}}`), "has digest"},
		{"broken manifest", changed("manifest.json", `[{"Config":`), "manifest.json"},
		{"no image", changed("manifest.json", `[]`), "no image"},
		{"too few layers", changed("manifest.json", `[{"Config":"`+config+`","Layers":[]}]`), "lists 0 layers"},
		{"cut short", whole[:len(whole)/2], "cut short"},
		{"huge manifest", changed("manifest.json", "["+strings.Repeat(" ", 5<<20)+"]"), "at most"},
		{"escaping names", changed("manifest.json", `[{"Config":"../../../../etc/passwd","Layers":[]}]`), "lacks"},
		{"deep JSON", changed("manifest.json", strings.Repeat("[", 100_000)), "depth"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, err := archive.Open(writeFile(t, tc.data), t.TempDir())
			if err == nil {
				a.Close()
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestLayoutRefuses(t *testing.T) {
	blobs := func(t *testing.T, dir string) (config, layer string) {
		t.Helper()
		p, err := layout.FromPath(dir)
		if err != nil {
			t.Fatal(err)
		}
		index, err := p.ImageIndex()
		if err != nil {
			t.Fatal(err)
		}
		m, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		img, err := p.Image(m.Manifests[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		im, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, "blobs/sha256", im.Config.Digest.Hex), filepath.Join(dir, "blobs/sha256", im.Layers[0].Digest.Hex)
	}
	for _, tc := range []struct {
		name, want string
		spoil      func(dir, config, layer string) error
	}{
		{"layer is a symlink", "too many levels of symbolic links", func(dir, _, layer string) error {
			return replaceByLink(dir, layer)
		}},
		{"configuration is a symlink", "too many levels of symbolic links", func(dir, config, _ string) error {
			return replaceByLink(dir, config)
		}},
		{"layer is gone", "lacks layer", func(_, _, layer string) error { return os.Remove(layer) }},
		{"configuration is changed", "has digest", func(_, config, _ string) error {
			return os.WriteFile(config, []byte(`{"rootfs":{}}`), 0o600)
		}},
		{"index is a manifest too", "both", func(dir, _, _ string) error {
			return os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"manifests":[],"layers":[]}`), 0o600)
		}},
		{"digest is a path", "", func(dir, _, _ string) error {
			return os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../../../../../../../../../etc/passwd","size":1}]}`), 0o600)
		}},
		{"other version", "version", func(dir, _, _ string) error {
			return os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"2.0.0"}`), 0o600)
		}},
		{"short digest", "hex digits", func(dir, _, _ string) error {
			return os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:`+strings.Repeat("a", 63)+`","size":1}]}`), 0o600)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := ociDir(t)
			config, layer := blobs(t, dir)
			if err := tc.spoil(dir, config, layer); err != nil {
				t.Fatal(err)
			}
			a, err := archive.Open(dir, t.TempDir())
			if err == nil {
				a.Close()
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

// replaceByLink moves a file away and leaves a link to it.
func replaceByLink(dir, path string) error {
	moved := filepath.Join(dir, "moved")
	if err := os.Rename(path, moved); err != nil {
		return err
	}
	return os.Symlink(moved, path)
}

func FuzzOpen(f *testing.F) {
	f.Add(tarOf(f, dockerArchive(f, "one:1")))
	f.Add(storetest.Tar(f, file{Name: "oci-layout", Body: `{"imageLayoutVersion":"1.0.0"}`}, file{Name: "index.json", Body: `{"manifests":[]}`}))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := archive.Open(writeFile(t, data), t.TempDir())
		if err != nil {
			return
		}
		a.Close()
	})
}
