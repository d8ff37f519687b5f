package image_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/nook-containers/nook/libpod/image"
	"github.com/nook-containers/nook/pkg/config/regconf"
	"github.com/nook-containers/nook/pkg/registry"
	"github.com/nook-containers/nook/pkg/registry/registrytest"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// host gives the test a home without configuration and returns its directory.
func host(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "registries.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"HOME": dir, "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": "", "XDG_RUNTIME_DIR": "", "DOCKER_CONFIG": "", "REGISTRY_AUTH_FILE": "",
		"CONTAINERS_REGISTRIES_CONF": conf, "http_proxy": "", "HTTP_PROXY": "",
	} {
		t.Setenv(name, value)
	}
	return dir
}

func open(t *testing.T, root string) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{Root: filepath.Join(root, "root"), RunRoot: filepath.Join(root, "run"), Driver: "overlay"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// small makes an image of one layer with one file of that content.
func small(t *testing.T, content string, p ...v1.Platform) v1.Image {
	t.Helper()
	tar := storetest.Tar(t, storetest.File{Name: "file", Body: content})
	return storetest.Image(t, func(c *v1.ConfigFile) {
		c.Architecture = runtime.GOARCH
		if len(p) > 0 {
			c.OS, c.Architecture, c.Variant = p[0].OS, p[0].Architecture, p[0].Variant
		}
	}, tar)
}

func idOf(t *testing.T, img v1.Image) string {
	t.Helper()
	h, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	return h.Hex
}

func TestPolicies(t *testing.T) {
	one, two := small(t, "one"), small(t, "two")
	for name, tc := range map[string]struct {
		policy    string
		have      bool // the store has "one" under the name
		down      bool // the registry, which has "two", is down
		want      string
		fails     error
		contacted bool
	}{
		"always":                  {image.Always, true, false, idOf(t, two), nil, true},
		"missing, is there":       {image.Missing, true, false, idOf(t, one), nil, false},
		"missing, is not":         {image.Missing, false, false, idOf(t, two), nil, true},
		"default is missing":      {"", true, false, idOf(t, one), nil, false},
		"never, is there":         {image.Never, true, false, idOf(t, one), nil, false},
		"never, is not":           {image.Never, false, false, "", store.ErrNotFound, false},
		"newer":                   {image.Newer, true, false, idOf(t, two), nil, true},
		"newer, is not":           {image.Newer, false, false, idOf(t, two), nil, true},
		"newer, cannot ask":       {image.Newer, true, true, idOf(t, one), nil, true},
		"newer, neither":          {image.Newer, false, true, "", registry.ErrNotFound, true},
		"missing, is there, down": {image.Missing, true, true, idOf(t, one), nil, false},
		"always, down":            {image.Always, true, true, "", registry.ErrNotFound, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, reg := open(t, host(t)), registrytest.New(t)
			name := reg.Host + "/a/app:1"
			if tc.have {
				if _, err := s.Put(t.Context(), one, []string{name}, nil); err != nil {
					t.Fatal(err)
				}
			}
			if !tc.down {
				reg.Push(t, "a/app:1", two)
			}
			img, err := image.Ensure(t.Context(), s, name, image.PullOptions{Policy: tc.policy})
			if !errors.Is(err, tc.fails) {
				t.Fatalf("got %v, want %v", err, tc.fails)
			}
			if tc.fails == nil && (err != nil || img.ID != tc.want) {
				t.Fatalf("got %+v, %v; want %s", img, err, tc.want)
			}
			if got := len(reg.Requests()) > 0; got != tc.contacted {
				t.Errorf("registry contacted: %v", got)
			}
		})
	}
	if _, err := image.Ensure(t.Context(), open(t, host(t)), "x", image.PullOptions{Policy: "sometimes"}); err == nil {
		t.Error("an unknown policy was accepted")
	}
}

// Newer does not transfer what is there already.
func TestNewerTransfersNothingNeedlessly(t *testing.T) {
	s, reg := open(t, host(t)), registrytest.New(t)
	reg.Push(t, "a:1", small(t, "x"))
	for range 2 {
		if _, err := image.Ensure(t.Context(), s, reg.Host+"/a:1", image.PullOptions{Policy: image.Newer}); err != nil {
			t.Fatal(err)
		}
	}
	if n := reg.Count("/blobs/"); n != 2 {
		t.Errorf("%d blobs were fetched, want config and layer once", n)
	}
}

func TestShortNames(t *testing.T) {
	home, reg := host(t), registrytest.New(t)
	conf := "unqualified-search-registries = [\"" + reg.Host + "/none\", \"" + reg.Host + "/team\"]\n"
	if err := os.WriteFile(filepath.Join(home, "registries.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s, img := open(t, home), small(t, "x")
	reg.Push(t, "team/app:latest", img)
	var out bytes.Buffer
	got, err := image.Ensure(t.Context(), s, "app", image.PullOptions{Progress: &out})
	if err != nil || got.ID != idOf(t, img) || !slices.Contains(got.Names, reg.Host+"/team/app:latest") {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, want := range []string{`Resolved "app" with unqualified-search-registries`, "Trying to pull " + reg.Host + "/none/app:latest...", "Trying to pull " + reg.Host + "/team/app:latest...", "Copying blob "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the output:\n%s", want, &out)
		}
	}
	before := len(reg.Requests())
	if _, err := image.Ensure(t.Context(), s, "app", image.PullOptions{}); err != nil || len(reg.Requests()) != before {
		t.Errorf("found in the store by its short name: %v, %d more requests", err, len(reg.Requests())-before)
	}
	_, err = image.Ensure(t.Context(), s, "nope", image.PullOptions{Creds: "u:p"})
	if err == nil || !strings.Contains(err.Error(), "--creds are for one") {
		t.Errorf("credentials for two registries: %v", err)
	}
	_, err = image.Ensure(t.Context(), s, "nope", image.PullOptions{})
	if err == nil || !strings.Contains(err.Error(), "/none/nope") || !strings.Contains(err.Error(), "/team/nope") {
		t.Errorf("not found anywhere: %v", err)
	}
}

func TestSignaturePolicyIsAsked(t *testing.T) {
	home, reg := host(t), registrytest.New(t)
	reg.Push(t, "a:1", small(t, "x"))
	policy := filepath.Join(home, ".config/containers/policy.json")
	if err := os.MkdirAll(filepath.Dir(policy), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(policy, []byte(`{"default":[{"type":"reject"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := image.Ensure(t.Context(), open(t, home), reg.Host+"/a:1", image.PullOptions{})
	if !errors.Is(err, regconf.ErrPolicy) || len(reg.Requests()) > 0 {
		t.Errorf("got %v after %d requests", err, len(reg.Requests()))
	}
}

func TestQuietIsSilent(t *testing.T) {
	s, reg := open(t, host(t)), registrytest.New(t)
	reg.Push(t, "a:1", small(t, "x", v1.Platform{OS: "linux", Architecture: "s390x"}))
	reg.Inject(registrytest.Status(registrytest.Manifests, 1, 503))
	var out bytes.Buffer
	o := image.PullOptions{Progress: &out, Quiet: true, RetryDelay: 1}
	if _, err := image.Ensure(t.Context(), s, reg.Host+"/a:1", o); err != nil || out.Len() > 0 {
		t.Errorf("%v, output %q", err, &out)
	}
}

func platforms(t *testing.T, list ...v1.Image) v1.ImageIndex {
	t.Helper()
	idx := v1.ImageIndex(empty.Index)
	for _, img := range list {
		c, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: c.Platform()}})
	}
	return idx
}

func TestPlatforms(t *testing.T) {
	other := v1.Platform{OS: "linux", Architecture: "s390x"}
	mine, foreign := small(t, "mine"), small(t, "foreign", other)
	s, reg := open(t, host(t)), registrytest.New(t)
	reg.Push(t, "both:1", platforms(t, foreign, mine))
	reg.Push(t, "one:1", foreign)
	for name, tc := range map[string]struct {
		image, platform string
		want            v1.Image
		warns           bool
	}{
		"the host's by default":     {"both:1", "", mine, false},
		"another by request":        {"both:1", "linux/s390x", foreign, true},
		"no such one in the index":  {"both:1", "linux/riscv64", nil, false},
		"the only one there is":     {"one:1", "", foreign, true},
		"the only one, asked for":   {"one:1", "s390x", foreign, true},
		"not the only one there is": {"one:1", "linux/riscv64", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			got, err := image.Ensure(t.Context(), s, reg.Host+"/"+tc.image, image.PullOptions{Policy: image.Always, Platform: tc.platform, Progress: &out})
			if tc.want == nil {
				if !errors.Is(err, registry.ErrPlatform) || !strings.Contains(err.Error(), "linux/s390x") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || got.ID != idOf(t, tc.want) {
				t.Fatalf("%+v, %v", got, err)
			}
			if warned := strings.Contains(out.String(), "WARNING"); warned != tc.warns {
				t.Errorf("warned: %v\n%s", warned, &out)
			}
		})
	}
	// The store's image of another platform does not do.
	got, err := image.Ensure(t.Context(), s, reg.Host+"/both:1", image.PullOptions{Platform: "linux/" + runtime.GOARCH})
	if err != nil || got.ID != idOf(t, mine) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A digest names one image for ever, also when it is that of an index.
func TestDigestOfAnIndex(t *testing.T) {
	s, reg := open(t, host(t)), registrytest.New(t)
	mine := small(t, "mine")
	idx := platforms(t, mine)
	reg.Push(t, "both:1", idx)
	h, err := idx.Digest()
	if err != nil {
		t.Fatal(err)
	}
	name := reg.Host + "/both:whatever@" + h.String()
	for range 2 {
		if got, err := image.Ensure(t.Context(), s, name, image.PullOptions{}); err != nil || got.ID != idOf(t, mine) {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if n := reg.Count("/manifests/" + h.String()); n != 1 {
		t.Errorf("asked for the index %d times, want once: the second time it is in the store", n)
	}
}

func TestAllTags(t *testing.T) {
	s, reg := open(t, host(t)), registrytest.New(t)
	reg.Push(t, "a:1", small(t, "1"))
	reg.Push(t, "a:2", small(t, "2"))
	reg.PutManifest(t, "a", "3", "application/vnd.oci.image.manifest.v1+json",
		`{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:`+strings.Repeat("0", 64)+`"},"layers":[]}`)
	var out bytes.Buffer
	images, err := image.PullAll(t.Context(), s, reg.Host+"/a", image.PullOptions{Progress: &out})
	if err != nil || len(images) != 2 || !strings.Contains(out.String(), "Passing over "+reg.Host+"/a:3") {
		t.Errorf("%d images, %v\n%s", len(images), err, &out)
	}
	if _, err := image.PullAll(t.Context(), s, reg.Host+"/a:1", image.PullOptions{}); err == nil {
		t.Error("a tag and all tags at once were accepted")
	}
}

// with returns an image with one layer of given bytes and media type.
func with(t *testing.T, data []byte, mt types.MediaType, diffOf []byte) v1.Image {
	t.Helper()
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: diffLayer{static.NewLayer(data, mt), static.NewLayer(diffOf, mt)}, MediaType: mt})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// diffLayer is a layer whose DiffID is that of other bytes.
type diffLayer struct {
	v1.Layer
	diff v1.Layer
}

func (d diffLayer) DiffID() (v1.Hash, error) { return d.diff.Digest() }

func TestLayerFormats(t *testing.T) {
	tar := storetest.Tar(t, storetest.File{Name: "file", Body: strings.Repeat("content", 1000)})
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, img := range map[string]v1.Image{
		"oci gzip":        with(t, storetest.Gzip(t, tar), types.OCILayer, tar),
		"oci zstd":        with(t, enc.EncodeAll(tar, nil), types.OCILayerZStd, tar),
		"oci plain":       with(t, tar, types.OCIUncompressedLayer, tar),
		"docker gzip":     with(t, storetest.Gzip(t, tar), types.DockerLayer, tar),
		"docker plain":    with(t, tar, types.DockerUncompressedLayer, tar),
		"zstd said gzip":  with(t, enc.EncodeAll(tar, nil), types.OCILayer, tar),
		"OCI manifest":    mutate.ConfigMediaType(mutate.MediaType(with(t, storetest.Gzip(t, tar), types.OCILayer, tar), types.OCIManifestSchema1), types.OCIConfigJSON),
		"docker schema 2": mutate.ConfigMediaType(mutate.MediaType(with(t, storetest.Gzip(t, tar), types.DockerLayer, tar), types.DockerManifestSchema2), types.DockerConfigJSON),
	} {
		t.Run(name, func(t *testing.T) {
			s, reg := open(t, host(t)), registrytest.New(t)
			reg.Push(t, "a:1", img)
			if got, err := image.Ensure(t.Context(), s, reg.Host+"/a:1", image.PullOptions{}); err != nil || got.ID != idOf(t, img) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// staged lists what a pull works on, committed what is in the store; both are
// relative to it.
func staged(t *testing.T, home string) []string {
	t.Helper()
	return list(t, home, "overlay/staging/*", "overlay/tempdirs/*", "tmp/*")
}

func committed(t *testing.T, home string) []string {
	t.Helper()
	return list(t, home, "overlay-layers/*.tar-split*", "overlay-images/*/manifest*")
}

// left lists all that a failed pull left in the store.
func left(t *testing.T, home string) []string {
	t.Helper()
	return append(staged(t, home), committed(t, home)...)
}

func list(t *testing.T, home string, patterns ...string) []string {
	t.Helper()
	var found []string
	root := os.DirFS(filepath.Join(home, "root"))
	for _, pattern := range patterns {
		m, err := fs.Glob(root, pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, m...)
	}
	return found
}

// Whatever is wrong with a layer, nothing of the image is visible, and the next
// pull works.
func TestBadLayersLeaveNothing(t *testing.T) {
	tar := storetest.Tar(t, storetest.File{Name: "file", Body: "content"})
	good := with(t, storetest.Gzip(t, tar), types.OCILayer, tar)
	layers, err := good.Layers()
	if err != nil {
		t.Fatal(err)
	}
	h, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	blob := registrytest.Path("/blobs/" + h.String())
	for name, fault := range map[string]*registrytest.Fault{
		"wrong bytes": registrytest.Rewrite(blob, registrytest.Always, registrytest.FlipLastByte),
		"missing":     registrytest.Status(blob, registrytest.Always, http.StatusNotFound),
		"longer":      registrytest.Chunked(blob, registrytest.Always, func(b []byte) []byte { return append(b, 0) }),
		"cut":         registrytest.Truncate(blob, registrytest.Always, 20),
	} {
		t.Run(name, func(t *testing.T) {
			home := host(t)
			s, reg := open(t, home), registrytest.New(t)
			reg.Push(t, "a:1", good)
			reg.Inject(fault)
			if _, err := image.Ensure(t.Context(), s, reg.Host+"/a:1", image.PullOptions{Retry: -1}); err == nil {
				t.Fatal("pulled")
			}
			if images, err := s.Images(); err != nil || len(images) > 0 {
				t.Errorf("%d images, %v", len(images), err)
			}
			if files := left(t, home); len(files) > 0 {
				t.Errorf("left behind: %q", files)
			}
			reg.Clear()
			if _, err := image.Ensure(t.Context(), s, reg.Host+"/a:1", image.PullOptions{}); err != nil {
				t.Errorf("control: %v", err)
			}
		})
	}
}

// Layers whose digest is right and whose content is not.
func TestHostileLayers(t *testing.T) {
	tar := storetest.Tar(t, storetest.File{Name: "file", Body: "content"})
	for name, img := range map[string]v1.Image{
		"not gzip":       with(t, []byte("this is no archive"), types.OCILayer, tar),
		"bad gzip":       with(t, storetest.Gzip(t, tar)[:30], types.OCILayer, tar),
		"bad zstd":       with(t, []byte("\x28\xb5\x2f\xfd garbage"), types.OCILayerZStd, tar),
		"another diffid": with(t, storetest.Gzip(t, tar), types.OCILayer, []byte("other")),
	} {
		t.Run(name, func(t *testing.T) {
			home := host(t)
			s, reg := open(t, home), registrytest.New(t)
			reg.Push(t, "a:1", img)
			if _, err := image.Ensure(t.Context(), s, reg.Host+"/a:1", image.PullOptions{}); err == nil {
				t.Fatal("pulled")
			}
			if files := left(t, home); len(files) > 0 {
				t.Errorf("left behind: %q", files)
			}
			// No lock is left either (CVE-2021-20291).
			if _, err := s.Put(t.Context(), small(t, "x"), []string{"localhost/x:1"}, nil); err != nil {
				t.Errorf("the store after it: %v", err)
			}
		})
	}
}

// age makes staged files look old enough to be collected: the store leaves young
// ones alone, which another process may just have begun.
func age(t *testing.T, home string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	for _, f := range staged(t, home) {
		if err := os.Chtimes(filepath.Join(home, "root", f), old, old); err != nil {
			t.Fatal(err)
		}
	}
}

// pullVar makes a test process the victim of TestKilledPull.
const pullVar = "NOOK_TEST_PULL"

func TestKilledPullVictim(t *testing.T) {
	name := os.Getenv(pullVar)
	if name == "" {
		t.SkipNow() // only a helper process of TestKilledPull
	}
	_, err := image.Ensure(t.Context(), open(t, os.Getenv("HOME")), name, image.PullOptions{})
	t.Errorf("the pull was to be killed, and ended with %v", err)
}

// A pull that is killed while layers arrive leaves nothing that is visible, and
// the next pull removes what it staged.
func TestKilledPull(t *testing.T) {
	tars := [][]byte{}
	for _, c := range []string{"a", "b", "c"} {
		tars = append(tars, storetest.Tar(t, storetest.File{Name: c, Body: strings.Repeat(c, 300_000)}))
	}
	img := storetest.Image(t, nil, tars...)
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for i, where := range []string{"first", "second", "last"} {
		t.Run(where+" layer", func(t *testing.T) {
			home := host(t)
			reg := registrytest.New(t)
			reg.Push(t, "a:1", img)
			h, err := layers[i].Digest()
			if err != nil {
				t.Fatal(err)
			}
			stall := registrytest.Stall(registrytest.Path(h.String()), registrytest.Always, 100_000)
			reg.Inject(stall)
			victim := exec.Command("/proc/self/exe", "-test.run=^TestKilledPullVictim$")
			victim.Env = append(os.Environ(), pullVar+"="+reg.Host+"/a:1")
			gate, err := os.Open(os.DevNull) // what storetest.Main waits for
			if err != nil {
				t.Fatal(err)
			}
			defer gate.Close()
			victim.ExtraFiles = []*os.File{gate}
			var output bytes.Buffer
			victim.Stdout, victim.Stderr = &output, &output
			if err := victim.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- victim.Wait() }()
			select {
			case <-stall.Held():
			case err := <-ended:
				t.Fatalf("the victim ended by itself: %v\n%s", err, &output)
			}
			if err := victim.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err == nil {
				t.Fatalf("the victim ended well\n%s", &output)
			}
			if files := committed(t, home); len(files) > 0 {
				t.Errorf("committed by half a pull: %q", files)
			}
			if len(staged(t, home)) == 0 {
				t.Error("control: the victim staged nothing")
			}
			age(t, home)
			s := open(t, home)
			if images, err := s.Images(); err != nil || len(images) > 0 {
				t.Errorf("%d images, %v", len(images), err)
			}
			reg.Clear()
			got, err := image.Ensure(t.Context(), s, reg.Host+"/a:1", image.PullOptions{})
			if err != nil || got.ID != idOf(t, img) {
				t.Fatalf("%+v, %v", got, err)
			}
			if files := staged(t, home); len(files) > 0 {
				t.Errorf("left behind: %q", files)
			}
		})
	}
}
