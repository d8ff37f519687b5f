// Package transfer copies volumes out to tar streams and back.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/userns"
)

// Export writes v's files to w as a tar, with owners as in the user's namespace,
// in which this works alone.
func Export(ctx context.Context, v *volume.Volume, w io.Writer) error {
	d, err := v.Open()
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer d.Close()
	if err := archive.Pack(ctx, w, d); err != nil {
		return fmt.Errorf("export volume %s: %w", v.Name, err)
	}
	return nil
}

// Import unpacks the tar r, packed or not, over v's files. notice is told what
// could not be kept. It works only in the user's namespace.
func Import(ctx context.Context, v *volume.Volume, r io.Reader, notice func(string)) error {
	ids, err := userns.Current()
	if err != nil {
		return err
	}
	err = v.Change(func(dir string) error {
		return archive.UnpackFiles(ctx, r, dir, archive.Options{UIDs: ranges(ids.UIDs), GIDs: ranges(ids.GIDs), Note: notice})
	})
	if err != nil {
		return idHint(fmt.Errorf("import into volume %s: %w", v.Name, err))
	}
	return nil
}

func ranges(m []userns.Extent) []archive.IDRange {
	out := make([]archive.IDRange, 0, len(m))
	for _, e := range m {
		out = append(out, archive.IDRange{First: e.Inside, Count: e.Size})
	}
	return out
}

// idHint adds what makes a missing id exist.
func idHint(err error) error {
	missing, ok := errors.AsType[*archive.UnmappedIDError](err)
	if !ok {
		return err
	}
	more, merr := userns.MoreIDs(missing.ID)
	if merr != nil || more == "" {
		return err
	}
	return problem.Hint(err, "run: %s", more)
}
