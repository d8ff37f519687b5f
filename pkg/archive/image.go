package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// image is a v1.Image whose manifest and configuration are in memory and whose
// layers are members of an archive.
type image struct {
	manifest, config []byte
	layers           []v1.Layer
	media            types.MediaType
}

func (i *image) Layers() ([]v1.Layer, error)               { return i.layers, nil }
func (i *image) MediaType() (types.MediaType, error)       { return i.media, nil }
func (i *image) Size() (int64, error)                      { return int64(len(i.manifest)), nil }
func (i *image) ConfigName() (v1.Hash, error)              { return partial.ConfigName(i) }
func (i *image) ConfigFile() (*v1.ConfigFile, error)       { return partial.ConfigFile(i) }
func (i *image) RawConfigFile() ([]byte, error)            { return i.config, nil }
func (i *image) Digest() (v1.Hash, error)                  { return partial.Digest(i) }
func (i *image) Manifest() (*v1.Manifest, error)           { return partial.Manifest(i) }
func (i *image) RawManifest() ([]byte, error)              { return i.manifest, nil }
func (i *image) LayerByDigest(h v1.Hash) (v1.Layer, error) { return i.find(h, v1.Layer.Digest) }
func (i *image) LayerByDiffID(h v1.Hash) (v1.Layer, error) { return i.find(h, v1.Layer.DiffID) }

func (i *image) find(h v1.Hash, of func(v1.Layer) (v1.Hash, error)) (v1.Layer, error) {
	for _, l := range i.layers {
		if d, err := of(l); err == nil && d == h {
			return l, nil
		}
	}
	return nil, fmt.Errorf("image has no layer %s", h)
}

// memberLayer is a layer that is one member of an archive.
type memberLayer struct {
	from   members
	name   string
	diffID v1.Hash
	blob   v1.Hash // what the manifest calls it
	size   int64
	media  types.MediaType
}

func (l *memberLayer) Digest() (v1.Hash, error)            { return l.blob, nil }
func (l *memberLayer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *memberLayer) Size() (int64, error)                { return l.size, nil }
func (l *memberLayer) MediaType() (types.MediaType, error) { return l.media, nil }

// Compressed returns the layer as the archive has it.
func (l *memberLayer) Compressed() (io.ReadCloser, error) {
	r, size, err := l.from.open(l.name)
	if err != nil {
		return nil, fmt.Errorf("the archive lacks layer %s: %w", l.name, err)
	}
	if l.size >= 0 && size != l.size {
		r.Close()
		return nil, fmt.Errorf("layer %s has %d bytes, but the manifest says %d", l.name, size, l.size)
	}
	return r, nil
}

// Uncompressed returns the layer's tar stream.
func (l *memberLayer) Uncompressed() (io.ReadCloser, error) { return unpacked(l.Compressed()) }

func unpacked(r io.ReadCloser, err error) (io.ReadCloser, error) {
	if err != nil {
		return nil, err
	}
	z, _, err := Decompress(r)
	if err != nil {
		r.Close()
		return nil, err
	}
	return &bothCloser{z, r}, nil
}

type bothCloser struct {
	io.ReadCloser
	under io.Closer
}

func (b *bothCloser) Close() error {
	if err := b.ReadCloser.Close(); err != nil {
		b.under.Close()
		return err
	}
	return b.under.Close()
}

// rawLayer is a layer of a docker archive: its digest in the manifest that we
// make up is that of the tar stream, while the archive may have it packed.
type rawLayer struct{ memberLayer }

// Raw returns the layer as the archive has it (store.RawLayer).
func (l *rawLayer) Raw() (io.ReadCloser, error) {
	r, _, err := l.from.open(l.name)
	if err != nil {
		return nil, fmt.Errorf("the archive lacks layer %s: %w", l.name, err)
	}
	return r, nil
}

// Compressed returns the tar stream: nothing is the packed form whose digest the
// manifest has.
func (l *rawLayer) Compressed() (io.ReadCloser, error) { return l.Uncompressed() }

// Uncompressed returns the layer's tar stream.
func (l *rawLayer) Uncompressed() (io.ReadCloser, error) { return unpacked(l.Raw()) }

// parseConfig reads an image configuration, strictly enough to trust its layers.
func parseConfig(raw []byte) (*v1.ConfigFile, error) {
	c := &v1.ConfigFile{}
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, fmt.Errorf("image configuration: %w", err)
	}
	return c, nil
}

// madeManifest writes the manifest of an image that came without one, in the
// bytes in which Podman writes it, so that both give it the same digest.
func madeManifest(config []byte, layers []v1.Layer) ([]byte, error) {
	id, size, err := v1.SHA256(bytes.NewReader(config))
	if err != nil {
		return nil, err
	}
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.DockerManifestSchema2,
		Config: v1.Descriptor{MediaType: types.DockerConfigJSON, Size: size, Digest: id},
		Layers: []v1.Descriptor{},
	}
	for _, l := range layers {
		d, err := partial.Descriptor(l)
		if err != nil {
			return nil, err
		}
		m.Layers = append(m.Layers, *d)
	}
	return json.Marshal(m)
}
