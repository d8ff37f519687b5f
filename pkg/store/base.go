package store

import (
	"fmt"
	"io"
	"os"
	"slices"

	"go.podman.io/storage"
	cstorage "go.podman.io/storage/pkg/archive"

	"github.com/nook-containers/nook/pkg/archive"
)

// Base is the image as what another one is made on.
func (i *Image) Base() (*archive.Base, error) {
	file, err := i.Config()
	if err != nil {
		return nil, err
	}
	manifest, err := i.RawManifest()
	if err != nil {
		return nil, err
	}
	ids := slices.Clone(i.Layers)
	slices.Reverse(ids)
	b := &archive.Base{Manifest: manifest, Config: file}
	for _, id := range ids {
		l, err := i.st.Layer(id)
		if err != nil {
			return nil, damagedLayer(id)
		}
		b.Sizes = append(b.Sizes, max(l.UncompressedSize, 0))
	}
	b.Open = func(n int) (io.ReadCloser, error) {
		plain := cstorage.Uncompressed
		r, err := i.st.Diff("", ids[n], &storage.DiffOptions{Compression: &plain})
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", short(ids[n]), err)
		}
		return r, nil
	}
	return b, nil
}

// Temp makes a file without a name on the store's file system. It is gone when
// it is closed.
func (s *Store) Temp() (*os.File, error) { return tempIn(s.o.Root) }
