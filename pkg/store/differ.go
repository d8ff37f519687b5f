package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"
	drivers "go.podman.io/storage/drivers"
	cstorage "go.podman.io/storage/pkg/archive"

	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/problem"
)

// RawLayer is a layer whose stored form may be packed differently from what its
// Digest says, as in the archives of "docker save". Only its DiffID counts.
type RawLayer interface {
	// Raw opens the layer as it is stored.
	Raw() (io.ReadCloser, error)
}

// differ unpacks one layer for containers/storage (drivers.Differ).
type differ struct {
	ctx      context.Context //nolint:containedctx // Differ's methods take none
	layer    layerPlan
	progress LayerProgress
	strict   bool
	squashed func(archive.Layer) // hears of a layer with owners that do not exist here
	explain  func(error) error   // adds a hint
}

func (d *differ) Close() error { return nil }

// ApplyDiff unpacks the layer into dest and checks its digests.
func (d *differ) ApplyDiff(dest string, o *cstorage.TarOptions, do *drivers.DifferOptions) (out drivers.DriverWithDifferOutput, err error) {
	if err := markStaging(do.StagingDirectory); err != nil {
		return out, err
	}
	split, err := tempIn(do.StagingDirectory)
	if err != nil {
		return out, err
	}
	defer func() {
		if err != nil {
			split.Close()
		}
	}()
	opts, err := unpackOptions(!d.strict || o.IgnoreChownErrors)
	if err != nil {
		return out, err
	}
	opts.KeepWhiteouts = o.WhiteoutFormat == cstorage.AUFSWhiteoutFormat
	opts.Split = split
	got, err := d.unpack(dest, opts)
	if err != nil {
		return out, err
	}
	out = drivers.DriverWithDifferOutput{
		Differ: d, TarSplit: split, Size: got.Size, UIDs: got.UIDs, GIDs: got.GIDs,
		UncompressedDigest: got.DiffID, CompressedDigest: got.Blob,
	}
	switch {
	case got.HasRoot:
		mode := os.FileMode(got.RootMode)
		out.RootDirMode = &mode
	case d.layer.parent == "":
		mode := os.FileMode(0o755)
		out.RootDirMode = &mode
		if err := os.Chmod(dest, mode); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (d *differ) unpack(dest string, opts archive.Options) (archive.Layer, error) {
	r, checkBlob, err := openLayer(d.layer)
	if err != nil {
		return archive.Layer{}, err
	}
	got, err := archive.UnpackLayer(d.ctx, &counting{r, d.progress}, dest, opts)
	err = errors.Join(err, r.Close())
	if noSpace(err) {
		return got, problem.Hint(fmt.Errorf("unpack in %s: %w", filepath.Dir(dest), err),
			"free some space on that file system, for instance with: nook rmi IMAGE")
	}
	if err != nil {
		return got, d.explain(err)
	}
	if checkBlob && got.Blob != d.layer.blob {
		return got, fmt.Errorf("blob has digest %s, but the manifest says %s", got.Blob, d.layer.blob)
	}
	if got.DiffID != d.layer.diffID {
		return got, fmt.Errorf("unpacked tar has digest %s, but the image configuration says %s", got.DiffID, d.layer.diffID)
	}
	if got.Squashed > 0 {
		d.squashed(got)
	}
	return got, nil
}

// openLayer opens the stored form of a layer, and says whether its digest must
// be the manifest's.
func openLayer(l layerPlan) (r io.ReadCloser, checkBlob bool, err error) {
	if raw, ok := l.layer.(RawLayer); ok {
		r, err = raw.Raw()
		return r, false, err
	}
	r, err = l.layer.Compressed()
	return r, true, err
}

// unpackOptions are those that depend on the user namespace.
func unpackOptions(squash bool) (archive.Options, error) {
	uids, err := idRanges("/proc/self/uid_map")
	if err != nil {
		return archive.Options{}, err
	}
	gids, err := idRanges("/proc/self/gid_map")
	return archive.Options{UIDs: uids, GIDs: gids, SquashIDs: squash}, err
}

type counting struct {
	r io.Reader
	p LayerProgress
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if n > 0 {
		c.p.Add(int64(n))
	}
	return n, err
}

// tempIn makes a file in dir that has no name.
func tempIn(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "split-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

func removeAll(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove %s: %w", filepath.Base(path), err)
	}
	return nil
}

// plainLayers stores layers one after the other through containers/storage's own
// extractor, for drivers without staging. The reader fails at its end where a
// digest is wrong, so the layer is never committed.
func (w *putter) plainLayers(ctx context.Context, layers []layerPlan) error {
	for _, l := range layers {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := w.plainLayer(l); err != nil {
			return fmt.Errorf("layer %s: %w", short(l.diffID.Encoded()), err)
		}
	}
	return nil
}

func (w *putter) plainLayer(l layerPlan) (err error) {
	progress := w.progress.Layer(l.blob.String(), l.size)
	r, _, err := openLayer(l)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	z, _, err := archive.Decompress(&counting{r, progress})
	if err != nil {
		return err
	}
	defer z.Close()
	v := &verifying{r: z, want: l.diffID, sum: digest.SHA256.Digester()}
	if _, _, err := w.st.PutLayer(l.id, l.parent, nil, "", false, &storage.LayerOptions{}, v); err != nil {
		if errors.Is(err, storage.ErrDuplicateID) {
			progress.Done(StatusExists)
			return nil
		}
		return errors.Join(v.err, err)
	}
	progress.Done(StatusUnpacked)
	return nil
}

// verifying fails instead of ending when the digest is not the wanted one.
type verifying struct {
	r    io.Reader
	want digest.Digest
	sum  digest.Digester
	err  error
}

func (v *verifying) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.sum.Hash().Write(p[:n])
	if errors.Is(err, io.EOF) && v.sum.Digest() != v.want {
		v.err = fmt.Errorf("unpacked tar has digest %s, but the image configuration says %s", v.sum.Digest(), v.want)
		return n, v.err
	}
	return n, err
}
