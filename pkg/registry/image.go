package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image is an image at a registry. It is the core that partial.CompressedToImage
// completes to a v1.Image; see V1. Its blobs are verified while they are read.
type Image struct {
	// Listed reports whether the image was chosen from an index, by platform.
	Listed bool

	c      *Client
	s      *session
	others []Endpoint      // where blobs are looked for when s does not have them
	ctx    context.Context //nolint:containedctx // methods of v1.Image take none
	m      *manifest

	mu     sync.Mutex
	config []byte
}

// V1 returns the image in the vocabulary of the store.
func (i *Image) V1() (v1.Image, error) { return partial.CompressedToImage(i) }

// From names the repository that the image comes from.
func (i *Image) From() string { return i.s.ep.Ref.Name() }

// MediaType is the manifest's media type.
func (i *Image) MediaType() (types.MediaType, error) { return i.m.mediaType, nil }

// RawManifest returns the manifest as the registry sent it.
func (i *Image) RawManifest() ([]byte, error) { return i.m.raw, nil }

// ManifestDigest is the digest of RawManifest, in the algorithm it was asked for by.
func (i *Image) ManifestDigest() v1.Hash { return i.m.digest }

// ConfigDigest is the digest of the config, which identifies the image in a store.
func (i *Image) ConfigDigest() v1.Hash { return i.m.image.Config.Digest }

// RawConfigFile fetches the config, once.
func (i *Image) RawConfigFile() ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.config != nil {
		return i.config, nil
	}
	d := i.m.image.Config
	if d.Data != nil {
		// The config may be inside the manifest (descriptor specification, "data").
		if got, err := sum(d.Digest.Algorithm, d.Data); err != nil || got != d.Digest || int64(len(d.Data)) != d.Size {
			return nil, errors.Join(fmt.Errorf("read config: %w", ErrContent), err)
		}
		i.config = d.Data
		return i.config, nil
	}
	rc, err := i.open(d)
	if err != nil {
		return nil, fmt.Errorf("fetch config: %w", err)
	}
	defer rc.Close()
	data, err := readCapped(rc, maxConfig)
	if err != nil {
		return nil, fmt.Errorf("fetch config: %w", err)
	}
	i.config = data
	return data, nil
}

// Platform is what the config says the image is for.
func (i *Image) Platform() (v1.Platform, error) {
	raw, err := i.RawConfigFile()
	if err != nil {
		return v1.Platform{}, err
	}
	cf, err := v1.ParseConfigFile(bytes.NewReader(raw))
	if err != nil {
		return v1.Platform{}, fmt.Errorf("read config: %w", err)
	}
	return v1.Platform{OS: cf.OS, Architecture: cf.Architecture, Variant: cf.Variant}, nil
}

// LayerByDigest returns the layer, or config, with that digest.
func (i *Image) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	if h == i.m.image.Config.Digest {
		return partial.ConfigLayer(i)
	}
	for _, d := range i.m.image.Layers {
		if d.Digest == h {
			return &layer{i: i, d: d}, nil
		}
	}
	return nil, fmt.Errorf("layer %s: %w", h, ErrNotFound)
}

// open reads a blob from where the manifest came from, or else from the other
// endpoints: the digest makes it the same blob wherever it is.
func (i *Image) open(d v1.Descriptor) (io.ReadCloser, error) {
	release, err := i.c.acquire(i.ctx)
	if err != nil {
		return nil, err
	}
	b, err := i.s.openBlob(i.ctx, d)
	for _, ep := range i.others {
		if err == nil || i.ctx.Err() != nil {
			break
		}
		i.c.o.Notice(fmt.Sprintf("%s: %v; trying %s", i.s.ep.Ref.Host, err, ep.Ref.Host))
		s, serr := i.c.session(ep)
		if serr != nil {
			err = errors.Join(err, serr)
			continue
		}
		var nerr error
		if b, nerr = s.openBlob(i.ctx, d); nerr == nil {
			err = nil
		} else {
			err = errors.Join(err, nerr)
		}
	}
	if err != nil {
		release()
		return nil, err
	}
	return &slotReader{ReadCloser: b, release: release}, nil
}

// layer is one layer of an Image.
type layer struct {
	i *Image
	d v1.Descriptor
}

func (l *layer) Digest() (v1.Hash, error)            { return l.d.Digest, nil }
func (l *layer) Size() (int64, error)                { return l.d.Size, nil }
func (l *layer) MediaType() (types.MediaType, error) { return l.d.MediaType, nil }
func (l *layer) Descriptor() (*v1.Descriptor, error) { return &l.d, nil }
func (l *layer) DiffID() (v1.Hash, error)            { return partial.BlobToDiffID(blobs{l.i}, l.d.Digest) }

// Compressed reads the layer as the registry sends it. It takes one of the slots
// of Options.Parallel until it is closed.
func (l *layer) Compressed() (io.ReadCloser, error) {
	rc, err := l.i.open(l.d)
	if err != nil {
		if errors.Is(err, ErrNotFound) && len(l.d.URLs) > 0 {
			return nil, fmt.Errorf("fetch layer %s: it is kept outside the registry (%s), which is not supported: %w", l.d.Digest, printable(l.d.URLs[0]), err)
		}
		return nil, fmt.Errorf("fetch layer %s: %w", l.d.Digest, err)
	}
	return rc, nil
}

// blobs gives partial.BlobToDiffID what it needs.
type blobs struct{ i *Image }

func (b blobs) Manifest() (*v1.Manifest, error)     { return b.i.m.image, nil }
func (b blobs) ConfigFile() (*v1.ConfigFile, error) { return partial.ConfigFile(b.i) }
func (b blobs) RawManifest() ([]byte, error)        { return b.i.m.raw, nil }
func (b blobs) RawConfigFile() ([]byte, error)      { return b.i.RawConfigFile() }
