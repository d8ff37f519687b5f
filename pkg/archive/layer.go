package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
)

// Layer describes an unpacked layer.
type Layer struct {
	Result
	DiffID      digest.Digest // of the tar stream
	Size        int64         // bytes of the tar stream
	Blob        digest.Digest // of the stream as it came
	BlobSize    int64
	Compression Compression
}

// UnpackLayer unpacks the layer blob r, packed or not, into dir and returns its
// digests. The caller compares them before it shows the result to anybody.
func UnpackLayer(ctx context.Context, r io.Reader, dir string, o Options) (Layer, error) {
	blob := &hashReader{r: r, sum: sha256.New()}
	z, compression, err := Decompress(blob)
	if err != nil {
		return Layer{}, err
	}
	sum := sha256.New()
	f := newFanout(ctx, z, sum)
	res, err := Unpack(ctx, f, dir, o)
	f.stop()
	err = errors.Join(err, z.Close())
	if err == nil && !f.complete() {
		err = fmt.Errorf("layer: %w", f.err)
	}
	if err != nil {
		return Layer{}, err
	}
	// What the decompressor left unread belongs to the blob's digest too.
	if _, err := io.Copy(io.Discard, blob); err != nil {
		return Layer{}, err
	}
	return Layer{
		Result: res, Size: f.size, Compression: compression, BlobSize: blob.n,
		DiffID: digest.NewDigest(digest.SHA256, sum),
		Blob:   digest.NewDigest(digest.SHA256, blob.sum),
	}, nil
}

type hashReader struct {
	r   io.Reader
	sum hash.Hash
	n   int64
}

func (h *hashReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.sum.Write(p[:n])
	h.n += int64(n)
	return n, err
}
