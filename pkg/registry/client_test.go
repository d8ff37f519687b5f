package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/nook-containers/nook/pkg/registry"
	"github.com/nook-containers/nook/pkg/registry/registrytest"
)

// fakeClock never waits. Timers fire only when fire is called.
type fakeClock struct {
	mu      sync.Mutex
	now     time.Time
	slept   []time.Duration
	armed   map[int]func()
	next    int
	pending int
}

func (c *fakeClock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *fakeClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

func (c *fakeClock) AfterFunc(_ time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending > 0 {
		c.pending--
		go f()
		return func() bool { return false }
	}
	if c.armed == nil {
		c.armed = map[int]func(){}
	}
	id := c.next
	c.next++
	c.armed[id] = f
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.armed, id)
		return true
	}
}

// fire lets one timer run out: one that is armed, or the next to be.
func (c *fakeClock) fire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, f := range c.armed {
		delete(c.armed, id)
		go f()
		return
	}
	c.pending++
}

func (c *fakeClock) sleeps() []time.Duration { c.mu.Lock(); defer c.mu.Unlock(); return c.slept }

// image makes an image of random content.
func image(t *testing.T, layerSize int64, layers int) v1.Image {
	t.Helper()
	img, err := random.Image(layerSize, int64(layers))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func mustRef(t *testing.T, s string) registry.Reference {
	t.Helper()
	ref, err := registry.ParseReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// pull fetches ref and reads all of it, as a store does, without checking
// anything itself. It returns the image's config digest.
func pull(ctx context.Context, c *registry.Client, ref registry.Reference) (string, error) {
	defer c.Close()
	img, err := c.Fetch(ctx, ref, registry.HostPlatform())
	if err != nil {
		return "", err
	}
	i, err := img.V1()
	if err != nil {
		return "", err
	}
	if _, err := i.RawConfigFile(); err != nil {
		return "", err
	}
	layers, err := i.Layers()
	if err != nil {
		return "", err
	}
	for _, l := range layers {
		rc, err := l.Compressed()
		if err != nil {
			return "", err
		}
		_, err = io.Copy(io.Discard, rc)
		if err := errors.Join(err, rc.Close()); err != nil {
			return "", err
		}
	}
	return img.ConfigDigest().String(), nil
}

func client(o registry.Options) *registry.Client {
	if o.Clock == nil {
		o.Clock = &fakeClock{}
	}
	if o.CertDirs == nil {
		o.CertDirs = func(string) ([]string, error) { return nil, nil }
	}
	return registry.New(o)
}

func configDigest(t *testing.T, img v1.Image) string {
	t.Helper()
	h, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// layerBlobs matches requests for the first layer of img, not for its config.
func layerBlobs(t *testing.T, img v1.Image) registrytest.Match {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	h, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	return registrytest.Path("/blobs/" + h.String())
}

func withRange(r *http.Request) bool { return r.Header.Get("Range") != "" }

// TestFaultsThatPass are faults a pull gets over by itself.
func TestFaultsThatPass(t *testing.T) {
	img := image(t, 100_000, 2)
	blobs := layerBlobs(t, img)
	for name, tc := range map[string]struct {
		faults []*registrytest.Fault
		sleeps int
	}{
		"none":                {},
		"503 twice":           {[]*registrytest.Fault{registrytest.Status(registrytest.Manifests, 2, 503)}, 2},
		"500 once for a blob": {[]*registrytest.Fault{registrytest.Status(blobs, 1, 500)}, 1},
		"429 once":            {[]*registrytest.Fault{registrytest.Status(registrytest.Manifests, 1, 429)}, 1},
		// net/http itself tries again on a fresh connection, once.
		"reset twice":               {[]*registrytest.Fault{registrytest.Reset(blobs, 2)}, 1},
		"manifest truncated once":   {[]*registrytest.Fault{registrytest.Truncate(registrytest.Manifests, 1, 100)}, 1},
		"blob truncated once":       {[]*registrytest.Fault{registrytest.Truncate(blobs, 1, 5_000)}, 1},
		"blob truncated five times": {[]*registrytest.Fault{registrytest.Truncate(blobs, 5, 5_000)}, 5},
		"truncated, no ranges":      {[]*registrytest.Fault{registrytest.Truncate(blobs, 1, 5_000), registrytest.Ignore(blobs, "Range")}, 1},
		"truncated, ranges refused": {[]*registrytest.Fault{
			registrytest.Truncate(blobs, 1, 5_000), registrytest.Status(withRange, registrytest.Always, 416),
		}, 1},
		"truncated after the last byte": {[]*registrytest.Fault{registrytest.Truncate(blobs, 1, 1<<20)}, 0},
		"chunked without a length":      {[]*registrytest.Fault{registrytest.Chunked(blobs, registrytest.Always, func(b []byte) []byte { return b })}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := registrytest.New(t)
			s.Push(t, "a/b:1", img)
			s.Inject(tc.faults...)
			clock := &fakeClock{}
			got, err := pull(t.Context(), client(registry.Options{Clock: clock}), mustRef(t, s.Host+"/a/b:1"))
			if err != nil {
				t.Fatal(err)
			}
			if want := configDigest(t, img); got != want {
				t.Errorf("pulled %s, want %s", got, want)
			}
			if n := len(clock.sleeps()); n != tc.sleeps {
				t.Errorf("waited %d times, want %d: %v", n, tc.sleeps, clock.sleeps())
			}
			for i, f := range tc.faults[:min(1, len(tc.faults))] {
				if f.Hits() == 0 {
					t.Errorf("fault %d never acted", i)
				}
			}
		})
	}
}

// TestFaultsThatFail are faults that a pull must not get over, each with words
// that the error must have.
func TestFaultsThatFail(t *testing.T) {
	img := image(t, 100_000, 1)
	blobs := layerBlobs(t, img)
	manifests := registrytest.Manifests
	digest := "sha256:" + strings.Repeat("0", 64)
	deep := []byte(strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000))
	for name, tc := range map[string]struct {
		fault *registrytest.Fault
		is    error
		text  string
	}{
		"500 for ever":        {registrytest.Status(manifests, registrytest.Always, 500), nil, "gave up after 4 attempts"},
		"404":                 {registrytest.Status(manifests, registrytest.Always, 404), registry.ErrNotFound, "injected 404"},
		"reset for ever":      {registrytest.Reset(blobs, registrytest.Always), io.EOF, "gave up after 4 attempts"},
		"missing layer":       {registrytest.Status(blobs, registrytest.Always, 404), registry.ErrNotFound, "fetch layer sha256:"},
		"wrong bytes":         {registrytest.Rewrite(blobs, registrytest.Always, registrytest.FlipLastByte), registry.ErrContent, "has digest"},
		"wrong config":        {registrytest.Rewrite(registrytest.Blobs, registrytest.Always, registrytest.FlipLastByte), registry.ErrContent, "fetch config"},
		"longer":              {registrytest.Rewrite(blobs, registrytest.Always, func(b []byte) []byte { return append(b, 'x') }), registry.ErrContent, "bytes, want"},
		"longer, chunked":     {registrytest.Chunked(blobs, registrytest.Always, func(b []byte) []byte { return append(b, 'x') }), registry.ErrContent, "is longer than"},
		"shorter":             {registrytest.Rewrite(blobs, registrytest.Always, func(b []byte) []byte { return b[1:] }), registry.ErrContent, "bytes, want"},
		"empty, chunked":      {registrytest.Chunked(blobs, registrytest.Always, func([]byte) []byte { return nil }), io.ErrUnexpectedEOF, "gave up after 4 attempts"},
		"redirect loop":       {registrytest.Redirect(blobs, registrytest.Always, ""), nil, "more than 5 redirects"},
		"web page":            {registrytest.Replace(manifests, registrytest.Always, "text/html", []byte("<html><body>log in</body></html>")), registry.ErrManifest, "web page"},
		"not JSON":            {registrytest.Replace(manifests, registrytest.Always, "application/json", []byte("{]")), registry.ErrManifest, "invalid character"},
		"deep JSON":           {registrytest.Replace(manifests, registrytest.Always, "application/json", deep), registry.ErrManifest, ""},
		"huge manifest":       {registrytest.Replace(manifests, registrytest.Always, "application/json", bytes.Repeat([]byte(" "), 5<<20)), nil, "larger than 4096 KiB"},
		"huge chunked":        {registrytest.Chunked(manifests, registrytest.Always, func(b []byte) []byte { return append(b, bytes.Repeat([]byte(" "), 5<<20)...) }), nil, "larger than 4096 KiB"},
		"image and index":     {registrytest.Replace(manifests, registrytest.Always, "application/json", []byte(`{"schemaVersion":2,"layers":[],"manifests":[]}`)), registry.ErrManifest, "at once"},
		"hidden in capitals":  {registrytest.Replace(manifests, registrytest.Always, "application/json", []byte(`{"schemaVersion":2,"manifests":[],"Layers":[]}`)), registry.ErrManifest, `"Layers"`},
		"header disagrees":    {registrytest.Replace(manifests, registrytest.Always, "application/vnd.oci.image.index.v1+json", []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{}}`)), registry.ErrManifest, "registry says"},
		"type disagrees":      {registrytest.Replace(manifests, registrytest.Always, "application/vnd.oci.image.index.v1+json", []byte(`{"schemaVersion":2,"config":{},"layers":[]}`)), registry.ErrManifest, "other kind"},
		"neither":             {registrytest.Replace(manifests, registrytest.Always, "application/json", []byte(`{}`)), registry.ErrManifest, "neither"},
		"schema 1":            {registrytest.Replace(manifests, registrytest.Always, "application/vnd.docker.distribution.manifest.v1+prettyjws", []byte(`{"schemaVersion":1,"fsLayers":[]}`)), registry.ErrNotImage, "schema 1"},
		"traversal in config": {registrytest.Replace(manifests, registrytest.Always, "application/vnd.oci.image.manifest.v1+json", []byte(`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:../../../../etc/passwd"},"layers":[]}`)), registry.ErrManifest, "non-hex"},
		"traversal in layer":  {registrytest.Replace(manifests, registrytest.Always, "application/vnd.oci.image.manifest.v1+json", []byte(`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"`+digest+`"},"layers":[{"digest":"../../x"}]}`)), registry.ErrManifest, ""},
		"digest too short":    {registrytest.Replace(manifests, registrytest.Always, "application/vnd.oci.image.index.v1+json", []byte(`{"manifests":[{"digest":"sha256:00"}]}`)), registry.ErrManifest, "wrong number"},
		"digest of md5":       {registrytest.Replace(manifests, registrytest.Always, "application/vnd.oci.image.index.v1+json", []byte(`{"manifests":[{"digest":"md5:00000000000000000000000000000000"}]}`)), registry.ErrManifest, "unsupported hash"},
		"no digest at all":    {registrytest.Replace(manifests, registrytest.Always, "application/vnd.oci.image.index.v1+json", []byte(`{"manifests":[{}]}`)), registry.ErrManifest, "want a digest"},
		"huge config":         {registrytest.Replace(manifests, registrytest.Always, "application/vnd.oci.image.manifest.v1+json", []byte(`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":5000000,"digest":"`+digest+`"},"layers":[]}`)), registry.ErrManifest, "at most 4096 KiB"},
		"negative size":       {registrytest.Replace(manifests, registrytest.Always, "application/vnd.oci.image.manifest.v1+json", []byte(`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"`+digest+`"},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":-1,"digest":"`+digest+`"}]}`)), registry.ErrManifest, "layer 0"},
		"helm chart":          {registrytest.Replace(manifests, registrytest.Always, "application/vnd.oci.image.manifest.v1+json", []byte(`{"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"`+digest+`"},"layers":[]}`)), registry.ErrNotImage, "helm"},
		"encrypted layer":     {registrytest.Replace(manifests, registrytest.Always, "application/vnd.oci.image.manifest.v1+json", []byte(`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"`+digest+`"},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip+encrypted","digest":"`+digest+`"}]}`)), registry.ErrNotImage, "encrypted"},
		"too many layers":     {registrytest.Replace(manifests, registrytest.Always, "application/vnd.oci.image.manifest.v1+json", []byte(`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"`+digest+`"},"layers":[`+strings.TrimSuffix(strings.Repeat(`{"digest":"`+digest+`"},`, 1001), ",")+`]}`)), registry.ErrManifest, "1001 layers"},
		"index in an index":   {registrytest.Replace(manifests, registrytest.Always, "application/vnd.oci.image.index.v1+json", selfIndex()), registry.ErrContent, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := registrytest.New(t)
			s.Push(t, "a/b:1", img)
			s.Inject(tc.fault)
			_, err := pull(t.Context(), client(registry.Options{}), mustRef(t, s.Host+"/a/b:1"))
			if err == nil {
				t.Fatal("pulled")
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("got %v, want %v", err, tc.is)
			}
			if !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %q, want %q in it", err, tc.text)
			}
			if tc.fault.Hits() == 0 {
				t.Error("the fault never acted")
			}
			// The control: the same server without the fault is fine.
			s.Clear()
			if _, err := pull(t.Context(), client(registry.Options{}), mustRef(t, s.Host+"/a/b:1")); err != nil {
				t.Errorf("without the fault: %v", err)
			}
		})
	}
}

// selfIndex is an index whose one entry cannot be itself.
func selfIndex() []byte {
	return []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"sha256:` + strings.Repeat("1", 64) + `","size":1,"mediaType":"application/vnd.oci.image.index.v1+json"}]}`)
}

func TestManifestByDigestIsVerified(t *testing.T) {
	s := registrytest.New(t)
	img, other := image(t, 100, 1), image(t, 100, 1)
	s.Push(t, "a/b:1", img)
	s.Push(t, "a/b:2", other)
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	ref := mustRef(t, s.Host+"/a/b:ignored@"+h.String())
	if _, err := pull(t.Context(), client(registry.Options{}), ref); err != nil {
		t.Fatal(err)
	}
	raw, err := other.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	s.Inject(registrytest.Replace(registrytest.Manifests, registrytest.Always, "application/json", raw))
	if _, err := pull(t.Context(), client(registry.Options{}), ref); !errors.Is(err, registry.ErrContent) {
		t.Errorf("another manifest under the digest: %v", err)
	}
}

// A stalled blob is given up after Options.Stall and continued where it stopped.
func TestStallIsResumed(t *testing.T) {
	s := registrytest.New(t)
	img := image(t, 100_000, 1)
	s.Push(t, "a/b:1", img)
	stall := registrytest.Stall(layerBlobs(t, img), 1, 50_000)
	s.Inject(stall)
	clock := &fakeClock{}
	c := client(registry.Options{Clock: clock})
	defer c.Close()
	got, err := c.Fetch(t.Context(), mustRef(t, s.Host+"/a/b:1"), registry.HostPlatform())
	if err != nil {
		t.Fatal(err)
	}
	i, err := got.V1()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := i.Layers()
	if err != nil {
		t.Fatal(err)
	}
	rc, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if _, err := io.ReadFull(rc, make([]byte, 50_000)); err != nil {
		t.Fatal(err)
	}
	clock.fire()
	if _, err := io.Copy(io.Discard, rc); err != nil {
		t.Fatal(err)
	}
	last := s.Requests()[len(s.Requests())-1]
	if r := last.Header.Get("Range"); !strings.HasPrefix(r, "bytes=50000-") {
		t.Errorf("the rest was asked for with Range %q", r)
	}
}

func TestStallForEverEnds(t *testing.T) {
	s := registrytest.New(t)
	img := image(t, 100_000, 1)
	s.Push(t, "a/b:1", img)
	stall := registrytest.Stall(layerBlobs(t, img), registrytest.Always, 0)
	s.Inject(stall)
	clock := &fakeClock{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for {
			select {
			case <-stall.Held():
				clock.fire()
			case <-ctx.Done():
				return
			}
		}
	}()
	_, err := pull(ctx, client(registry.Options{Clock: clock}), mustRef(t, s.Host+"/a/b:1"))
	if err == nil || !strings.Contains(err.Error(), "no progress for 1m0s") {
		t.Errorf("got %v", err)
	}
	if stall.Hits() != 4 {
		t.Errorf("%d attempts, want 4", stall.Hits())
	}
}

func TestCancelEndsAWait(t *testing.T) {
	s := registrytest.New(t)
	img := image(t, 1000, 1)
	s.Push(t, "a/b:1", img)
	stall := registrytest.Stall(layerBlobs(t, img), registrytest.Always, 0)
	s.Inject(stall)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-stall.Held(); cancel() }()
	if _, err := pull(ctx, client(registry.Options{}), mustRef(t, s.Host+"/a/b:1")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestRetryDelays(t *testing.T) {
	for name, tc := range map[string]struct {
		o      registry.Options
		header []string
		want   []time.Duration
	}{
		"default doubles":     {registry.Options{}, nil, []time.Duration{1e9, 2e9, 4e9}},
		"fixed":               {registry.Options{RetryDelay: 5e9, Retries: 2}, nil, []time.Duration{5e9, 5e9}},
		"never":               {registry.Options{Retries: -1}, nil, nil},
		"the server's wish":   {registry.Options{Retries: 1}, []string{"Retry-After", "30"}, []time.Duration{30e9}},
		"no unbounded wishes": {registry.Options{Retries: 1}, []string{"Retry-After", "99999"}, []time.Duration{120e9}},
	} {
		t.Run(name, func(t *testing.T) {
			s := registrytest.New(t)
			s.Inject(registrytest.Status(registrytest.All, registrytest.Always, 429, tc.header...))
			clock := &fakeClock{}
			tc.o.Clock = clock
			if _, err := pull(t.Context(), client(tc.o), mustRef(t, s.Host+"/a:1")); err == nil {
				t.Fatal("pulled")
			}
			if got := clock.sleeps(); len(got) != len(tc.want) {
				t.Fatalf("waited %v, want %v", got, tc.want)
			}
			for i, d := range clock.sleeps() {
				if d != tc.want[i] {
					t.Errorf("waited %v, want %v", clock.sleeps(), tc.want)
				}
			}
		})
	}
}

// One slot per blob: a pull never has more of them open than Parallel.
func TestParallelIsBounded(t *testing.T) {
	s := registrytest.New(t)
	img := image(t, 1000, 3)
	s.Push(t, "a:1", img)
	c := client(registry.Options{Parallel: 2})
	got, err := c.Fetch(t.Context(), mustRef(t, s.Host+"/a:1"), registry.HostPlatform())
	if err != nil {
		t.Fatal(err)
	}
	i, err := got.V1()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := i.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var open []io.Closer
	for _, l := range layers[:2] {
		rc, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, rc)
	}
	third := make(chan error, 1)
	go func() {
		rc, err := layers[2].Compressed()
		if err == nil {
			err = rc.Close()
		}
		third <- err
	}()
	select {
	case err := <-third:
		t.Fatalf("a third blob was opened: %v", err)
	case <-time.After(50 * time.Millisecond): // it may only be slow, but never early
	}
	for _, rc := range open {
		rc.Close()
		rc.Close() // closing twice gives back one slot
	}
	if err := <-third; err != nil {
		t.Error(err)
	}
}

func TestTags(t *testing.T) {
	s := registrytest.New(t)
	img := image(t, 10, 1)
	for _, tag := range []string{"1", "2", "latest"} {
		s.Push(t, "a/b:"+tag, img)
	}
	got, err := client(registry.Options{}).Tags(t.Context(), mustRef(t, s.Host+"/a/b"))
	if err != nil || strings.Join(got, " ") != "1 2 latest" {
		t.Errorf("Tags = %q, %v", got, err)
	}
}
