package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

// Found is one image of an archive.
type Found struct {
	Image v1.Image
	Names []string // as the archive has them; none, short and full ones occur
}

// Archive is an open archive of images. Layers are read from it while it is open.
type Archive struct {
	Images []Found
	close  func() error
}

// Close closes the archive's files.
func (a *Archive) Close() error { return a.close() }

// Open opens the archive at path: a file of "docker save", "podman save" or
// "skopeo copy" in docker-archive or oci-archive format, packed or not, or a
// directory with an OCI layout, with such an archive unpacked, or with the dir
// format. Space for what must be unpacked to be read is taken in temp.
func Open(path, temp string) (*Archive, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.IsDir() {
		tree, err := sys.NewTree(path)
		if err != nil {
			return nil, err
		}
		return readImages(path, dirMembers{tree}, tree.Close)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return OpenFile(f, temp)
}

// OpenFile is Open for an open file, or a pipe. It takes f over.
func OpenFile(f *os.File, temp string) (*Archive, error) {
	plain, err := seekable(f, temp)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", f.Name(), err), f.Close())
	}
	if plain != f {
		f.Close()
	}
	m, err := indexTar(plain)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", f.Name(), err), plain.Close())
	}
	return readImages(f.Name(), m, plain.Close)
}

// seekable returns f if it is an unpacked regular file at its beginning, else a
// nameless file in temp with the unpacked content.
func seekable(f *os.File, temp string) (*os.File, error) {
	head := make([]byte, magicLen)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("the archive is empty")
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if fi.Mode().IsRegular() && Detect(head[:n]) == None {
		if pos, err := f.Seek(0, io.SeekCurrent); err == nil && pos == int64(n) {
			return f, nil
		}
	}
	z, _, err := Decompress(io.MultiReader(bytes.NewReader(head[:n]), f))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return spool(z, temp)
}

// spool writes r to a file in dir that has no name, and so ends with us.
func spool(r io.Reader, dir string) (*os.File, error) {
	out, err := os.CreateTemp(dir, "nook-spool-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(out.Name()); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	var guard spaceGuard
	defer d.Close()
	if err := guard.open(d, dir); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	if _, err := io.Copy(&guarded{out, &guard}, r); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return out, nil
}

type guarded struct {
	w     io.Writer
	guard *spaceGuard
}

func (g *guarded) Write(p []byte) (int, error) {
	if err := g.guard.wrote(len(p)); err != nil {
		return 0, err
	}
	return g.w.Write(p)
}

// readImages finds out the format by the names of the members.
func readImages(name string, m members, closer func() error) (*Archive, error) {
	found, err := formatOf(m)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), closer())
	}
	return &Archive{Images: found, close: closer}, nil
}

func formatOf(m members) ([]Found, error) {
	// Docker writes both since version 25; its own file has the full names.
	if m.has(dockerManifest) {
		raw, err := readJSON(m, dockerManifest)
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) {
			return dockerImages(m, raw)
		}
		return dirImage(m, raw)
	}
	if m.has(ociIndex) {
		return ociImages(m)
	}
	return nil, problem.Hint(fmt.Errorf("no image archive: it has neither %s nor %s", dockerManifest, ociIndex),
		"a tar of a file system becomes an image with: nook import FILE NAME")
}
