package archive

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// Tarball is the tar of a file system, packed or not, as the one layer of an
// image to be.
type Tarball struct {
	f     *os.File
	layer memberLayer
}

// NewTarball reads f, a file or a pipe, through once to learn its digests. What
// can be read only once is kept in temp. It takes f over.
func NewTarball(f *os.File, temp string) (*Tarball, error) {
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		var kept *os.File
		kept, err = spool(f, temp)
		if err == nil {
			f.Close()
			f = kept
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	t := &Tarball{f: f}
	if err := t.digest(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

func (t *Tarball) digest() error {
	fi, err := t.f.Stat()
	if err != nil {
		return err
	}
	if fi.Size() == 0 {
		return errors.New("the tar is empty")
	}
	t.layer = memberLayer{from: onlyMember{t.f, fi.Size()}, size: fi.Size()}
	blob := &hashReader{r: io.NewSectionReader(t.f, 0, fi.Size()), sum: sha256.New()}
	z, c, err := Decompress(blob)
	if err != nil {
		return err
	}
	defer z.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, z); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, blob); err != nil {
		return err
	}
	t.layer.media = map[Compression]types.MediaType{
		None: types.OCIUncompressedLayer, Gzip: types.OCILayer, Zstd: types.OCILayerZStd,
	}[c]
	t.layer.diffID, err = v1.NewHash(digest.NewDigest(digest.SHA256, sum).String())
	if err != nil {
		return err
	}
	t.layer.blob, err = v1.NewHash(digest.NewDigest(digest.SHA256, blob.sum).String())
	return err
}

// Close closes the file.
func (t *Tarball) Close() error { return t.f.Close() }

// onlyMember is an archive of one file.
type onlyMember struct {
	r    io.ReaderAt
	size int64
}

func (o onlyMember) open(string) (io.ReadCloser, int64, error) {
	return io.NopCloser(io.NewSectionReader(o.r, 0, o.size)), o.size, nil
}

func (o onlyMember) has(string) bool { return true }

// Image makes an OCI image of the tar. Layers in file's RootFS are set here; its
// history should have one entry.
func (t *Tarball) Image(file *v1.ConfigFile) (v1.Image, error) {
	file = file.DeepCopy()
	file.RootFS = v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{t.layer.diffID}}
	config, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	var layer v1.Layer = &t.layer
	if t.layer.media == "" { // no media type exists for xz and bzip2
		raw := &rawLayer{t.layer}
		raw.blob, raw.media = t.layer.diffID, types.OCIUncompressedLayer
		if raw.size, err = tarSize(t.layer.from, "tar"); err != nil {
			return nil, err
		}
		layer = raw
	}
	desc, err := partial.Descriptor(layer)
	if err != nil {
		return nil, fmt.Errorf("describe layer: %w", err)
	}
	id := digest.FromBytes(config)
	hash, err := v1.NewHash(id.String())
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: v1.Descriptor{MediaType: types.OCIConfigJSON, Size: int64(len(config)), Digest: hash},
		Layers: []v1.Descriptor{*desc},
	})
	if err != nil {
		return nil, err
	}
	return &image{manifest: manifest, config: config, layers: []v1.Layer{layer}, media: types.OCIManifestSchema1}, nil
}
