package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/nook-containers/nook/pkg/filetree"
	"github.com/nook-containers/nook/pkg/sys"
)

// PackOptions say how to write a tar.
type PackOptions struct {
	// UID and GID turn owners on disk into those in the tar; nil: the same.
	UID, GID func(uint32) uint32
	// Exact keeps fractions of seconds and all extended attributes. Layers do
	// without: other tools drop them, and would write the same file differently.
	Exact bool
	// Note is told, once per kind, what was left out; nil: nobody.
	Note func(string)
}

// Packer writes files into a tar stream, the reverse of Unpack. What it reads may
// belong to strangers and change meanwhile: files are opened in a directory that
// is held open, links are never followed, and an entry always has the size that
// its header says.
type Packer struct {
	o     PackOptions
	tw    *tar.Writer
	links map[fileID]string // files with several names, and the first in the tar
	noted map[string]bool
	buf   []byte
}

type fileID struct{ dev, ino uint64 }

// NewPacker returns a Packer that writes to w.
func NewPacker(w io.Writer, o PackOptions) *Packer {
	return &Packer{
		o: o, tw: tar.NewWriter(w), links: map[fileID]string{}, noted: map[string]bool{},
		buf: make([]byte, copyBuffer),
	}
}

// Close ends the tar; it does not close the writer below.
func (p *Packer) Close() error { return p.tw.Close() }

// Whiteout says that a layer hides name in the layers below.
func (p *Packer) Whiteout(name string) error {
	dir, base := path.Split(name)
	return p.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: dir + whiteoutPrefix + base, Mode: 0o600, ModTime: time.Unix(0, 0)})
}

// Add writes the file base of dir, of a directory not what is in it, under a name
// without a leading slash. Sockets cannot be in a tar and are left out.
func (p *Packer) Add(dir *sys.Dir, base, name string) error {
	st, err := dir.Lstat(base)
	if err != nil {
		return err
	}
	h := p.header(st, name)
	switch st.Kind() {
	case syscall.S_IFREG:
		return p.regular(dir, base, st, h)
	case syscall.S_IFDIR:
		return p.directory(dir, base, h)
	case syscall.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = dir.Readlink(base); err != nil {
			return err
		}
	case syscall.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case syscall.S_IFCHR, syscall.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if st.Kind() == syscall.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = sys.Device(st.Rdev)
	default:
		p.note("socket", "sockets such as %s were left out: a tar cannot hold them", name)
		return nil
	}
	return p.tw.WriteHeader(h)
}

// AddTree writes base and all that is below it. Name "" leaves the directory base
// itself out. What is mounted there is written as well, unless it only shows the
// kernel. Files that vanish meanwhile are left out.
func (p *Packer) AddTree(ctx context.Context, dir *sys.Dir, base, name string) error {
	return p.addTree(ctx, dir, base, name, 0)
}

func (p *Packer) addTree(ctx context.Context, dir *sys.Dir, base, name string, depth int) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if depth > maxDepth {
		return fmt.Errorf("%.64s…: more than %d directories deep", name, maxDepth)
	}
	if name != "" {
		if err := p.Add(dir, base, name); err != nil {
			return err
		}
	}
	if !dir.IsDir(base) {
		return nil
	}
	d, err := dir.OpenDir(base)
	if err != nil {
		return err
	}
	defer d.Close()
	if pseudo, err := d.Pseudo(); err != nil || pseudo {
		return err
	}
	names, err := d.Names()
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := p.addTree(ctx, d, n, path.Join(name, n), depth+1); err != nil && !sys.Vanished(err) {
			return err
		}
	}
	return nil
}

func (p *Packer) header(st sys.FileStat, name string) *tar.Header {
	h := &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.UID), Gid: int(st.GID),
		ModTime: st.Mtime.Truncate(time.Second),
	}
	if p.o.Exact {
		h.ModTime, h.Format = st.Mtime, tar.FormatPAX
	}
	if p.o.UID != nil {
		h.Uid = int(p.o.UID(st.UID))
	}
	if p.o.GID != nil {
		h.Gid = int(p.o.GID(st.GID))
	}
	return h
}

func (p *Packer) directory(dir *sys.Dir, base string, h *tar.Header) error {
	h.Typeflag = tar.TypeDir
	if !strings.HasSuffix(h.Name, "/") {
		h.Name += "/"
	}
	f, err := dir.Open(base)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := p.attributes(f, h); err != nil {
		return err
	}
	return p.tw.WriteHeader(h)
}

func (p *Packer) regular(dir *sys.Dir, base string, st sys.FileStat, h *tar.Header) error {
	id := fileID{st.Dev, st.Ino}
	if first, ok := p.links[id]; ok && st.Links > 1 {
		h.Typeflag, h.Linkname = tar.TypeLink, first
		return p.tw.WriteHeader(h)
	}
	f, err := dir.Open(base)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() { // replaced since
		return &fs.PathError{Op: "pack", Path: h.Name, Err: fs.ErrNotExist}
	}
	if err := p.attributes(f, h); err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, fi.Size()
	if err := p.tw.WriteHeader(h); err != nil {
		return err
	}
	if st.Links > 1 {
		p.links[id] = h.Name
	}
	return p.content(f, h)
}

// content writes exactly the size in the header: of a file that grew its
// beginning, of one that shrank zeros for the rest, as tar(1) does.
func (p *Packer) content(f *os.File, h *tar.Header) error {
	n, err := io.CopyBuffer(onlyWriter{p.tw}, io.LimitReader(f, h.Size), p.buf)
	if err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	if n == h.Size {
		return nil
	}
	p.note("shrank", "%s became shorter while it was read; the rest is zeros", h.Name)
	_, err = io.CopyBuffer(onlyWriter{p.tw}, io.LimitReader(zeros{}, h.Size-n), p.buf)
	return err
}

// onlyWriter hides ReadFrom, which would not use the buffer.
type onlyWriter struct{ io.Writer }

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// attributes takes the extended attributes that Unpack would set.
func (p *Packer) attributes(f *os.File, h *tar.Header) error {
	names, err := sys.ListXattrs(f)
	if err != nil {
		return err
	}
	for _, n := range names {
		layers := n == "security.capability" || strings.HasPrefix(n, "user.")
		if filetree.Private(n) || !layers && !p.o.Exact {
			continue
		}
		value, err := sys.GetXattr(f, n)
		if errors.Is(err, syscall.EPERM) || value == nil {
			continue // removed since, or not for us
		}
		if err != nil {
			return err
		}
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+n] = string(value)
	}
	return nil
}

func (p *Packer) note(kind, format string, args ...any) {
	if p.o.Note != nil && !p.noted[kind] {
		p.noted[kind] = true
		p.o.Note(fmt.Sprintf(format, args...))
	}
}

// Pack writes the tree below d to w as a tar, with owners as this user namespace
// has them: "./" first, names sorted, links as links.
func Pack(ctx context.Context, w io.Writer, d *sys.Dir) error {
	buf := bufio.NewWriterSize(w, 256<<10)
	p := NewPacker(buf, PackOptions{Exact: true})
	if err := p.AddTree(ctx, d, ".", "./"); err != nil {
		return err
	}
	return errors.Join(p.Close(), buf.Flush())
}

// UnpackFiles writes the files of the tar stream r, packed or not, into dir, over
// those that are there: ".wh." is an ordinary beginning of a name.
func UnpackFiles(ctx context.Context, r io.Reader, dir string, o Options) error {
	z, _, err := Decompress(r)
	if err != nil {
		return err
	}
	o.KeepWhiteouts = true
	_, err = Unpack(ctx, z, dir, o)
	return errors.Join(err, z.Close())
}
