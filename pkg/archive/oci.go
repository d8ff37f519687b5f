package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

const (
	ociIndex  = "index.json"
	ociLayout = "oci-layout"
	// Annotations with an image's name: the first is the specification's
	// (image-spec, annotations.md), which some tools fill with a tag only; the
	// second is containerd's, always a full name.
	refName        = "org.opencontainers.image.ref.name"
	containerdName = "io.containerd.image.name"
)

// maxDepthIndex is how many indexes may stand between index.json and an image.
const maxDepthIndex = 4

// layout reads blobs by digest; where they are depends on the format.
type layout struct {
	m    members
	path func(digest.Digest) string
}

func ociBlob(d digest.Digest) string { return "blobs/" + d.Algorithm().String() + "/" + d.Encoded() }

// ociImages reads an OCI image layout (image-spec, image-layout.md).
func ociImages(m members) ([]Found, error) {
	if m.has(ociLayout) {
		raw, err := readJSON(m, ociLayout)
		if err != nil {
			return nil, err
		}
		var v struct {
			Version string `json:"imageLayoutVersion"`
		}
		if err := json.Unmarshal(raw, &v); err != nil || !strings.HasPrefix(v.Version, "1.") {
			return nil, fmt.Errorf("%s: unknown version %q", ociLayout, v.Version)
		}
	}
	raw, err := readJSON(m, ociIndex)
	if err != nil {
		return nil, err
	}
	index, err := parseIndex(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ociIndex, err)
	}
	l := layout{m: m, path: ociBlob}
	var found []Found
	for _, d := range index.Manifests {
		img, err := l.resolve(d, maxDepthIndex)
		if err != nil {
			return nil, err
		}
		if img == nil {
			continue
		}
		found = append(found, Found{Image: img, Names: annotatedNames(d.Annotations)})
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("the archive holds no image for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	return found, nil
}

func annotatedNames(a map[string]string) []string {
	for _, key := range []string{containerdName, refName} {
		if name := a[key]; name != "" {
			return []string{name}
		}
	}
	return nil
}

func parseIndex(raw []byte) (*v1.IndexManifest, error) {
	index := &v1.IndexManifest{}
	if err := json.Unmarshal(raw, index); err != nil {
		return nil, err
	}
	var both struct {
		Layers json.RawMessage `json:"layers"`
		Config json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(raw, &both); err != nil || both.Layers != nil || both.Config != nil {
		return nil, errors.New("lists both manifests and layers")
	}
	return index, nil
}

// resolve returns the image that a descriptor leads to, nil if it is none that
// runs here: a signature, an attestation, another platform.
func (l layout) resolve(d v1.Descriptor, depth int) (v1.Image, error) {
	if depth == 0 {
		return nil, errors.New("indexes are nested too deep")
	}
	if d.MediaType != "" && !d.MediaType.IsImage() && !d.MediaType.IsIndex() {
		return nil, nil //nolint:nilnil // documented
	}
	raw, err := l.blob(d)
	if err != nil {
		return nil, err
	}
	if !d.MediaType.IsIndex() {
		return l.image(raw)
	}
	index, err := parseIndex(raw)
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", d.Digest, err)
	}
	for _, sub := range index.Manifests {
		if runsHere(sub.Platform) {
			return l.resolve(sub, depth-1)
		}
	}
	return nil, nil //nolint:nilnil // documented
}

func runsHere(p *v1.Platform) bool {
	return p == nil || p.OS == runtime.GOOS && p.Architecture == runtime.GOARCH
}

// blob reads a small blob and checks it.
func (l layout) blob(d v1.Descriptor) ([]byte, error) {
	dgst := digest.Digest(d.Digest.String())
	if err := dgst.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", dgst, err)
	}
	raw, err := readJSON(l.m, l.path(dgst))
	if err != nil {
		return nil, err
	}
	if got := dgst.Algorithm().FromBytes(raw); got != dgst {
		return nil, fmt.Errorf("%s has digest %s", l.path(dgst), got)
	}
	return raw, nil
}

func (l layout) image(raw []byte) (v1.Image, error) {
	m := &v1.Manifest{}
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if !m.Config.MediaType.IsConfig() {
		return nil, nil //nolint:nilnil // an artifact, as resolve documents
	}
	config, err := l.blob(m.Config)
	if err != nil {
		return nil, fmt.Errorf("image configuration: %w", err)
	}
	file, err := parseConfig(config)
	if err != nil {
		return nil, err
	}
	if len(m.Layers) != len(file.RootFS.DiffIDs) {
		return nil, fmt.Errorf("manifest lists %d layers, but the image configuration %d", len(m.Layers), len(file.RootFS.DiffIDs))
	}
	img := &image{manifest: raw, config: config, media: mediaOf(m)}
	for i, d := range m.Layers {
		name := l.path(digest.Digest(d.Digest.String()))
		if err := digest.Digest(d.Digest.String()).Validate(); err != nil {
			return nil, fmt.Errorf("layer %q: %w", d.Digest, err)
		}
		if err := present(l.m, name); err != nil {
			return nil, err
		}
		img.layers = append(img.layers, &memberLayer{
			from: l.m, name: name, diffID: file.RootFS.DiffIDs[i], blob: d.Digest, size: d.Size, media: d.MediaType,
		})
	}
	return img, nil
}

func mediaOf(m *v1.Manifest) types.MediaType {
	if m.MediaType != "" {
		return m.MediaType
	}
	return types.OCIManifestSchema1
}

// dirImage reads what "skopeo copy … dir:" writes: one manifest, and blobs beside
// it that are named by their digests.
func dirImage(m members, raw []byte) ([]Found, error) {
	l := layout{m: m, path: digest.Digest.Encoded}
	img, err := l.image(raw)
	if err != nil {
		return nil, err
	}
	if img == nil {
		return nil, errors.New("the directory holds no image")
	}
	return []Found{{Image: img}}, nil
}
