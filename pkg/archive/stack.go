package archive

import (
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// Format is how an image describes itself.
type Format string

// Formats of images.
const (
	OCI    Format = "oci"    // image-spec
	Docker Format = "docker" // Docker image manifest, version 2, schema 2
)

// Base is the image that another is made on.
type Base struct {
	Manifest []byte
	Config   *v1.ConfigFile
	Sizes    []int64 // of the tar streams, in bytes, from the bottom
	// Open returns the tar stream of layer i, counted from the bottom. It is
	// called only where a store lacks the layer.
	Open func(i int) (io.ReadCloser, error)
}

// On makes an image of base's layers and t as the last. Of file everything but
// RootFS counts; base nil makes an image of t alone.
func (t *Tarball) On(base *Base, file *v1.ConfigFile, format Format) (v1.Image, error) {
	layers, err := base.layers(format)
	if err != nil {
		return nil, err
	}
	top := t.layer
	top.media = types.OCIUncompressedLayer
	if format == Docker {
		top.media = types.DockerUncompressedLayer
	}
	layers = append(layers, &top)
	file = file.DeepCopy()
	file.RootFS = v1.RootFS{Type: "layers"}
	for _, l := range layers {
		id, err := l.DiffID()
		if err != nil {
			return nil, err
		}
		file.RootFS.DiffIDs = append(file.RootFS.DiffIDs, id)
	}
	return describe(file, layers, format)
}

// describe writes the configuration and the manifest of an image.
func describe(file *v1.ConfigFile, layers []v1.Layer, format Format) (v1.Image, error) {
	config, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	if format == Docker {
		manifest, err := madeManifest(config, layers)
		return &image{manifest: manifest, config: config, layers: layers, media: types.DockerManifestSchema2}, err
	}
	id, err := v1.NewHash(digest.FromBytes(config).String())
	if err != nil {
		return nil, err
	}
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: v1.Descriptor{MediaType: types.OCIConfigJSON, Size: int64(len(config)), Digest: id},
		Layers: []v1.Descriptor{},
	}
	for _, l := range layers {
		d, err := partial.Descriptor(l)
		if err != nil {
			return nil, err
		}
		m.Layers = append(m.Layers, *d)
	}
	manifest, err := json.Marshal(m)
	return &image{manifest: manifest, config: config, layers: layers, media: types.OCIManifestSchema1}, err
}

// layers are those of the base, under the media types of format.
func (b *Base) layers(format Format) ([]v1.Layer, error) {
	if b == nil {
		return nil, nil
	}
	var m v1.Manifest
	if err := json.Unmarshal(b.Manifest, &m); err != nil {
		return nil, fmt.Errorf("manifest of the base image: %w", err)
	}
	ids := b.Config.RootFS.DiffIDs
	if len(b.Sizes) != len(ids) {
		return nil, fmt.Errorf("base image has %d layers, but its configuration names %d", len(b.Sizes), len(ids))
	}
	var out []v1.Layer
	for i, id := range ids {
		l := &baseLayer{open: func() (io.ReadCloser, error) { return b.Open(i) }, diffID: id}
		l.desc = v1.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: id, Size: b.Sizes[i]}
		if len(m.Layers) == len(ids) {
			l.desc = m.Layers[i]
		}
		var err error
		if l.desc.MediaType, err = mediaIn(l.desc.MediaType, format); err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// mediaIn is what the other format calls a layer of media type m.
func mediaIn(m types.MediaType, format Format) (types.MediaType, error) {
	pairs := [][2]types.MediaType{
		{types.OCILayer, types.DockerLayer},
		{types.OCIUncompressedLayer, types.DockerUncompressedLayer},
		{types.OCIRestrictedLayer, types.DockerForeignLayer},
	}
	for _, p := range pairs {
		if m == p[0] || m == p[1] {
			if format == Docker {
				return p[1], nil
			}
			return p[0], nil
		}
	}
	if format == Docker {
		return "", fmt.Errorf("a layer of the base image has media type %s, for which the format docker has none; use oci", m)
	}
	return m, nil
}

// baseLayer is a layer that the store has.
type baseLayer struct {
	desc   v1.Descriptor
	diffID v1.Hash
	open   func() (io.ReadCloser, error)
}

func (l *baseLayer) Digest() (v1.Hash, error)             { return l.desc.Digest, nil }
func (l *baseLayer) Size() (int64, error)                 { return l.desc.Size, nil }
func (l *baseLayer) DiffID() (v1.Hash, error)             { return l.diffID, nil }
func (l *baseLayer) MediaType() (types.MediaType, error)  { return l.desc.MediaType, nil }
func (l *baseLayer) Descriptor() (*v1.Descriptor, error)  { return &l.desc, nil }
func (l *baseLayer) Uncompressed() (io.ReadCloser, error) { return l.open() }

// Compressed returns the tar stream: the packed form is not kept.
func (l *baseLayer) Compressed() (io.ReadCloser, error) { return l.open() }

// Raw is what a store takes instead of the packed form (store.RawLayer).
func (l *baseLayer) Raw() (io.ReadCloser, error) { return l.open() }
