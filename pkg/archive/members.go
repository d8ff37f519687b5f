package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/nook-containers/nook/pkg/sys"
)

// members are the files of an image archive, by name.
type members interface {
	// open opens a member. The error wraps os.ErrNotExist where there is none.
	open(name string) (io.ReadCloser, int64, error)
	has(name string) bool
}

// dirMembers are files below a directory. Symbolic links are refused: they could
// only lead to files that are not part of the archive.
type dirMembers struct{ tree *sys.Tree }

func (d dirMembers) open(name string) (io.ReadCloser, int64, error) {
	f, err := d.tree.Open(name)
	if err != nil {
		return nil, 0, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, fi.Size(), nil
}

func (d dirMembers) has(name string) bool {
	f, err := d.tree.Open(name)
	if err == nil {
		f.Close()
	}
	return err == nil
}

// tarMembers are files in a tar, found by their offsets.
type tarMembers struct {
	r     io.ReaderAt
	files map[string]extent
	links map[string]string // symbolic and hard links to other members
}

type extent struct{ offset, size int64 }

// maxMembers is far above the layers of any image.
const maxMembers = 100_000

// indexTar reads the headers of a tar file.
func indexTar(f *os.File) (*tarMembers, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	t := &tarMembers{r: f, files: map[string]extent{}, links: map[string]string{}}
	in := io.NewSectionReader(f, 0, fi.Size())
	tr := tar.NewReader(in)
	for n := 0; ; n++ {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, fmt.Errorf("not a tar archive, or a broken one: %w", err)
		}
		if n >= maxMembers {
			return nil, fmt.Errorf("archive has more than %d files", maxMembers)
		}
		offset, err := in.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if err := t.add(hdr, offset, fi.Size()); err != nil {
			return nil, err
		}
	}
}

func (t *tarMembers) add(hdr *tar.Header, offset, total int64) error {
	name := path.Join("/", hdr.Name)
	switch hdr.Typeflag {
	case tar.TypeReg:
		if offset+hdr.Size > total {
			return fmt.Errorf("archive is cut short in %s", hdr.Name)
		}
		t.files[name] = extent{offset, hdr.Size}
	case tar.TypeSymlink: // "docker save" links layers that images share
		t.links[name] = path.Join("/", path.Dir(hdr.Name), hdr.Linkname)
	case tar.TypeLink:
		t.links[name] = path.Join("/", hdr.Linkname)
	}
	return nil
}

func (t *tarMembers) find(name string) (extent, bool) {
	name = path.Join("/", name)
	for range maxLinks {
		if e, ok := t.files[name]; ok {
			return e, true
		}
		next, ok := t.links[name]
		if !ok {
			return extent{}, false
		}
		name = next
	}
	return extent{}, false
}

func (t *tarMembers) open(name string) (io.ReadCloser, int64, error) {
	e, ok := t.find(name)
	if !ok {
		return nil, 0, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
	return io.NopCloser(io.NewSectionReader(t.r, e.offset, e.size)), e.size, nil
}

func (t *tarMembers) has(name string) bool {
	_, ok := t.find(name)
	return ok
}

// present fails early, and says why, where a layer cannot be read.
func present(m members, name string) error {
	r, _, err := m.open(name)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the archive lacks layer %s", name)
	}
	if err != nil {
		return fmt.Errorf("layer: %w", err)
	}
	return r.Close()
}

// maxJSON bounds manifests, configurations and indexes.
const maxJSON = 4 << 20

// readJSON returns a whole small member.
func readJSON(m members, name string) ([]byte, error) {
	r, size, err := m.open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("the archive lacks %s", name)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > maxJSON {
		return nil, fmt.Errorf("%s has %d bytes; at most %d are taken", name, size, maxJSON)
	}
	return io.ReadAll(r)
}
