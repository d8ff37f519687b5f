package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/nook-containers/nook/pkg/problem"
)

var (
	// ErrManifest is a manifest that is malformed or says two things at once.
	ErrManifest = errors.New("invalid manifest")
	// ErrNotImage is a manifest of something that is not a container image.
	ErrNotImage = errors.New("not a container image")
	// ErrPlatform is an image that does not exist for a platform.
	ErrPlatform = errors.New("no image for platform")
)

// accepted lists the media types of manifests, for the Accept header. The last
// are answered with an explanation.
func accepted() []string {
	return []string{
		string(types.OCIManifestSchema1), string(types.DockerManifestSchema2),
		string(types.OCIImageIndex), string(types.DockerManifestList),
		string(types.DockerManifestSchema1Signed), string(types.DockerManifestSchema1),
	}
}

// manifest is a checked manifest: exactly one of image and index is set.
type manifest struct {
	raw       []byte
	mediaType types.MediaType
	digest    v1.Hash
	image     *v1.Manifest
	index     *v1.IndexManifest
}

// parseManifest checks raw, which came with the given Content-Type. Every digest
// in the result is well-formed, so that it can be part of an address.
func parseManifest(raw []byte, contentType string) (*manifest, error) {
	keys, err := manifestKeys(raw)
	if err != nil {
		return nil, err
	}
	m := &manifest{raw: raw}
	if m.mediaType, err = mediaTypeOf(keys, contentType); err != nil {
		return nil, err
	}
	switch m.mediaType {
	case types.OCIManifestSchema1, types.DockerManifestSchema2:
		m.image, err = parseImage(raw)
	case types.OCIImageIndex, types.DockerManifestList:
		m.index, err = parseIndex(raw)
	default:
		err = fmt.Errorf("%w: media type %q", ErrNotImage, printable(string(m.mediaType)))
	}
	return m, err
}

// manifestKeys returns the top level of raw. Go reads the names of JSON keys in
// any case and other tools do not, so a key in another case could hide a second
// meaning.
func manifestKeys(raw []byte) (map[string]json.RawMessage, error) {
	if t := bytes.TrimSpace(raw); len(t) > 0 && t[0] == '<' {
		return nil, fmt.Errorf("%w: the answer is a web page; is this a registry?", ErrManifest)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	for k := range keys {
		if exact, ok := manifestKey(k); ok && k != exact {
			return nil, fmt.Errorf("%w: key %q", ErrManifest, printable(k))
		}
	}
	return keys, checkKind(keys)
}

// manifestKey returns the right spelling of a key that says what a manifest is.
func manifestKey(k string) (exact string, ok bool) {
	for _, exact := range []string{"config", "layers", "manifests", "fsLayers", "mediaType", "schemaVersion"} {
		if strings.EqualFold(k, exact) {
			return exact, true
		}
	}
	return "", false
}

// checkKind refuses manifests that are two things, none, or too old.
func checkKind(keys map[string]json.RawMessage) error {
	config, layers, manifests := has(keys, "config"), has(keys, "layers"), has(keys, "manifests")
	if manifests && (config || layers) {
		return fmt.Errorf("%w: it is an image and an index at once", ErrManifest)
	}
	old := has(keys, "fsLayers")
	if !old && !config && !layers && !manifests {
		return fmt.Errorf("%w: it is neither an image nor an index", ErrManifest)
	}
	if old || string(keys["schemaVersion"]) == "1" {
		return problem.Hint(fmt.Errorf("%w: manifest schema 1, which registries gave up in 2017 to 2024, is not supported", ErrNotImage),
			"ask for the image to be pushed again with a current tool, or run on another machine: skopeo copy --format v2s2")
	}
	return nil
}

// mediaTypeOf settles what the manifest is by its own "mediaType", the header,
// and what is in it; they must agree (CVE-2021-41190).
func mediaTypeOf(keys map[string]json.RawMessage, contentType string) (types.MediaType, error) {
	var own string
	if raw, ok := keys["mediaType"]; ok {
		if err := json.Unmarshal(raw, &own); err != nil {
			return "", fmt.Errorf("%w: mediaType: %w", ErrManifest, err)
		}
	}
	header, _, err := mime.ParseMediaType(contentType)
	if err != nil || !slices.Contains(accepted(), header) {
		header = "" // servers of plain files say application/octet-stream or text/plain
	}
	if own != "" && header != "" && own != header {
		return "", fmt.Errorf("%w: it says it is %q, the registry says %q", ErrManifest, printable(own), header)
	}
	found := types.OCIManifestSchema1
	if has(keys, "manifests") {
		found = types.OCIImageIndex
	}
	said := types.MediaType(own + header)
	if own != "" {
		said = types.MediaType(own)
	}
	if said == "" {
		said = found
	}
	if slices.Contains(accepted(), string(said)) && said.IsIndex() != found.IsIndex() {
		return "", fmt.Errorf("%w: it says it is %q and has the parts of the other kind", ErrManifest, said)
	}
	return said, nil
}

func parseImage(raw []byte) (*v1.Manifest, error) {
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	switch m.Config.MediaType {
	case types.OCIConfigJSON, types.DockerConfigJSON:
	default:
		return nil, fmt.Errorf("%w: its config is of type %q", ErrNotImage, printable(string(m.Config.MediaType)))
	}
	if m.Config.Digest.Hex == "" || m.Config.Size < 0 || m.Config.Size > maxConfig {
		return nil, fmt.Errorf("%w: config: want a digest and at most %d KiB", ErrManifest, maxConfig>>10)
	}
	if len(m.Layers) > maxLayers {
		return nil, fmt.Errorf("%w: %d layers, at most %d are allowed", ErrManifest, len(m.Layers), maxLayers)
	}
	for i, l := range m.Layers {
		if l.Digest.Hex == "" || l.Size < 0 {
			return nil, fmt.Errorf("%w: layer %d: want a digest and a size", ErrManifest, i)
		}
		if err := checkLayerType(string(l.MediaType)); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func checkLayerType(t string) error {
	switch types.MediaType(t) {
	case types.OCILayer, types.OCIUncompressedLayer, types.OCILayerZStd,
		types.DockerLayer, types.DockerUncompressedLayer, types.DockerForeignLayer,
		types.OCIRestrictedLayer, types.OCIUncompressedRestrictedLayer,
		"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
		"application/vnd.docker.image.rootfs.diff.tar.zstd":
		return nil
	default:
	}
	if strings.HasSuffix(t, "+encrypted") {
		return fmt.Errorf("%w: layer is encrypted (%s), which is not supported", ErrNotImage, printable(t))
	}
	return fmt.Errorf("%w: layer is of type %q", ErrNotImage, printable(t))
}

func parseIndex(raw []byte) (*v1.IndexManifest, error) {
	m, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	for i, d := range m.Manifests {
		if d.Digest.Hex == "" || d.Size < 0 || d.Size > maxManifest {
			return nil, fmt.Errorf("%w: entry %d: want a digest and at most %d KiB", ErrManifest, i, maxManifest>>10)
		}
	}
	return m, nil
}

func noPlatform(want v1.Platform, offered []string) error {
	slices.Sort(offered)
	offered = slices.Compact(offered)
	err := fmt.Errorf("%w %s", ErrPlatform, PlatformString(want))
	if len(offered) == 0 {
		return fmt.Errorf("%w: the index names no platform at all", err)
	}
	return problem.Hint(fmt.Errorf("%w; there are %s", err, strings.Join(offered, ", ")),
		"choose one with --platform %s", offered[0])
}
