package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"syscall"
	"time"

	"github.com/nook-containers/nook/pkg/filetree"
	"github.com/nook-containers/nook/pkg/sys"
)

// Pack writes the tree below d to w as a tar, with owners as this user namespace
// has them: "./" first, names sorted, links as links. The files may be in use: one
// that vanishes is left out, and one that shrinks while it is read is filled up
// with zeros, as by tar(1). Sockets are left out.
func Pack(ctx context.Context, w io.Writer, d *sys.Dir) error {
	buf := bufio.NewWriterSize(w, 256<<10)
	p := &packer{ctx: ctx, tw: tar.NewWriter(buf), links: map[fileID]string{}}
	st, err := d.Lstat(".")
	if err != nil {
		return err
	}
	if err := p.dir(d, "./", st); err != nil {
		return err
	}
	if err := p.tw.Close(); err != nil {
		return fmt.Errorf("write tar: %w", err)
	}
	return buf.Flush()
}

type fileID struct{ dev, ino uint64 }

type packer struct {
	ctx   context.Context //nolint:containedctx // lives for one call of Pack
	tw    *tar.Writer
	links map[fileID]string // files with several names: the first in the tar
}

// dir writes the entry of d, whose name ends in "/", and what is in it.
func (p *packer) dir(d *sys.Dir, name string, st sys.FileStat) error {
	h := header(name, st)
	h.Typeflag = tar.TypeDir
	f, err := d.Open(".")
	if err != nil {
		return err
	}
	err = errors.Join(addXattrs(h, f), f.Close())
	if err == nil {
		err = p.tw.WriteHeader(h)
	}
	if err != nil {
		return fmt.Errorf("write tar: %s: %w", name, err)
	}
	names, err := d.Names()
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, n := range names {
		if p.ctx.Err() != nil {
			return context.Cause(p.ctx)
		}
		if err := p.entry(d, n, path.Join(name, n)); err != nil {
			return err
		}
	}
	return nil
}

// entry writes the file base of d under the given name.
func (p *packer) entry(d *sys.Dir, base, name string) error {
	st, err := d.Lstat(base)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	h := header(name, st)
	switch st.Kind() {
	case syscall.S_IFDIR:
		sub, err := d.OpenDir(base)
		if err != nil {
			return gone(err)
		}
		defer sub.Close()
		return p.dir(sub, name+"/", st)
	case syscall.S_IFREG:
		return p.file(d, base, h, st)
	case syscall.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = d.Readlink(base); err != nil {
			return gone(err)
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
		return nil
	}
	if err := p.tw.WriteHeader(h); err != nil {
		return fmt.Errorf("write tar: %s: %w", name, err)
	}
	return nil
}

// gone forgives that a file is not there any more.
func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (p *packer) file(d *sys.Dir, base string, h *tar.Header, st sys.FileStat) error {
	id := fileID{st.Dev, st.Ino}
	if st.Links > 1 {
		if first, ok := p.links[id]; ok {
			h.Typeflag, h.Linkname = tar.TypeLink, first
			return p.tw.WriteHeader(h)
		}
	}
	f, err := d.Open(base)
	if err != nil {
		return gone(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return errors.Join(err, fmt.Errorf("%s: changed while it was read", h.Name))
	}
	h.Typeflag, h.Size = tar.TypeReg, fi.Size()
	if err := addXattrs(h, f); err != nil {
		return err
	}
	if err := p.tw.WriteHeader(h); err != nil {
		return fmt.Errorf("write tar: %s: %w", h.Name, err)
	}
	if st.Links > 1 {
		p.links[id] = h.Name
	}
	n, err := io.CopyN(p.tw, f, h.Size)
	if errors.Is(err, io.EOF) {
		_, err = io.CopyN(p.tw, zeros{}, h.Size-n)
	}
	if err != nil {
		return fmt.Errorf("write tar: %s: %w", h.Name, err)
	}
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func header(name string, st sys.FileStat) *tar.Header {
	return &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.UID), Gid: int(st.GID),
		ModTime: st.Mtime.Truncate(time.Microsecond), Format: tar.FormatPAX,
	}
}

func addXattrs(h *tar.Header, f *os.File) error {
	names, err := sys.ListXattrs(f)
	if err != nil {
		return err
	}
	for _, n := range names {
		if filetree.Private(n) {
			continue
		}
		value, err := sys.GetXattr(f, n)
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
