package volume

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nook-containers/nook/pkg/filetree"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

// filling is what the file "fresh" says while First works.
const filling = "filling"

// First calls prepare on the volume's empty directory if no container has mounted
// the volume before; others wait for it meanwhile. What is in the volume already
// is left alone (CVE-2020-1726). prepare is called again another time if it
// fails, or this process is killed in it.
func (v *Volume) First(d Durability, prepare func(data *sys.Dir) error) error {
	marker, err := v.lockFresh()
	if marker == nil || err != nil {
		return err
	}
	defer marker.Close()
	data, err := sys.OpenHostDir(filepath.Join(v.dir, dataDir))
	if err != nil {
		return fmt.Errorf("volume %s: %w", v.Name, err)
	}
	defer data.Close()
	if err := v.fill(marker, data, prepare); err != nil {
		return fmt.Errorf("volume %s: %w", v.Name, err)
	}
	if d == Durable {
		if err := sys.SyncFS(v.dir); err != nil {
			return err
		}
	}
	return os.Remove(marker.Name())
}

// lockFresh returns the file "fresh", locked, or nil if it is not there any more.
func (v *Volume) lockFresh() (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(v.dir, freshFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing to do is no error
	}
	if err != nil {
		return nil, err
	}
	if err := sys.Lock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !exists(f.Name()) { // somebody else has done it while we waited
		return nil, f.Close()
	}
	return f, nil
}

func (v *Volume) fill(marker *os.File, data *sys.Dir, prepare func(*sys.Dir) error) error {
	if err := dropHalf(marker, data); err != nil {
		return err
	}
	if names, err := data.Names(); err != nil || len(names) > 0 {
		return err
	}
	if _, err := marker.WriteAt([]byte(filling), 0); err != nil {
		return err
	}
	if err := marker.Sync(); err != nil {
		return err
	}
	if err := prepare(data); err != nil {
		return errors.Join(err, filetree.Empty(data), marker.Truncate(0))
	}
	return nil
}

// dropHalf empties data where a killed process was filling it.
func dropHalf(marker *os.File, data *sys.Dir) error {
	said, err := io.ReadAll(io.LimitReader(marker, int64(len(filling))))
	if err != nil || string(said) != filling {
		return err
	}
	if err := filetree.Empty(data); err != nil {
		return err
	}
	return marker.Truncate(0)
}

// Change calls change with the directory of the volume's files, to put somebody's
// data there: no image is copied into it later.
func (v *Volume) Change(change func(dir string) error) error {
	d, err := v.Open()
	if err != nil {
		return err
	}
	defer d.Close()
	marker, err := v.lockFresh()
	if err != nil {
		return err
	}
	if marker != nil {
		defer marker.Close()
		if err := dropHalf(marker, d); err != nil {
			return err
		}
	}
	if err := change(v.Mountpoint()); err != nil {
		return err
	}
	if err := sys.SyncFS(v.dir); err != nil || marker == nil {
		return err
	}
	return os.Remove(marker.Name())
}

// Open opens the directory with the volume's files.
func (v *Volume) Open() (*sys.Dir, error) {
	if v.Mountpoint() == "" {
		return nil, problem.Hint(fmt.Errorf("volume %s: is in memory while a container runs with it, and has no files otherwise", v.Name),
			"copy its files inside a container that uses it")
	}
	d, err := sys.OpenHostDir(v.Mountpoint())
	if err != nil {
		return nil, fmt.Errorf("volume %s: %w", v.Name, err)
	}
	return d, nil
}
