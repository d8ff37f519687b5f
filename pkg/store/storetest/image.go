package storetest

import (
	"archive/tar"
	"bytes"
	"io"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// Epoch is when everything made here was made.
func Epoch() time.Time { return time.Unix(1_700_000_000, 0).UTC() }

// File is one entry of a tar.
type File struct {
	Name string // a trailing slash makes a directory
	Body string
	tar.Header
}

// Tar writes files into a tar. Of Header, what is not zero counts.
func Tar(tb testing.TB, files ...File) []byte {
	tb.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, f := range files {
		h := f.Header
		h.Name = f.Name
		if h.Typeflag == 0 && f.Name[len(f.Name)-1] == '/' {
			h.Typeflag = tar.TypeDir
		} else if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
			if h.Typeflag == tar.TypeDir {
				h.Mode = 0o755
			}
		}
		if h.ModTime.IsZero() {
			h.ModTime = Epoch()
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(f.Body))
		}
		if err := tw.WriteHeader(&h); err != nil {
			tb.Fatalf("tar %s: %v", f.Name, err)
		}
		if _, err := io.WriteString(tw, f.Body); err != nil && h.Typeflag == tar.TypeReg {
			tb.Fatalf("tar %s: %v", f.Name, err)
		}
	}
	if err := tw.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// Gzip packs data.
func Gzip(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(data); err != nil {
		tb.Fatal(err)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// Layer is a layer with these bytes, a tar.
func Layer(data []byte) v1.Layer { return static.NewLayer(data, types.DockerUncompressedLayer) }

// Image makes an image of layers of tars; change, if not nil, edits its
// configuration.
func Image(tb testing.TB, change func(*v1.ConfigFile), tars ...[]byte) v1.Image {
	tb.Helper()
	img := empty.Image
	for _, t := range tars {
		var err error
		if img, err = mutate.AppendLayers(img, Layer(t)); err != nil {
			tb.Fatal(err)
		}
	}
	file, err := img.ConfigFile()
	if err != nil {
		tb.Fatal(err)
	}
	file = file.DeepCopy()
	file.Architecture, file.OS, file.Created = "amd64", "linux", v1.Time{Time: Epoch()}
	if change != nil {
		change(file)
	}
	if img, err = mutate.ConfigFile(img, file); err != nil {
		tb.Fatal(err)
	}
	return img
}
