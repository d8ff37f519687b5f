package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"syscall"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/userns"
)

// # How a copy stays where it belongs
//
// Each side is a root directory that is open: the host's, or the container's as
// its own processes see it. A path is resolved in it by openat2(2) with
// RESOLVE_IN_ROOT, so a container that swaps a directory for a link at any moment
// can only redirect a copy to another place of its own. What comes out of a
// container is unpacked with the destination directory as the root for all its
// names and links.

// CopyEnd is one argument of a copy.
type CopyEnd struct {
	Container *state.Container // nil: the host
	Path      string           // of the host, relative to the working directory
	Stream    *os.File         // instead, a tar: "-"
}

// CopyOptions say how to copy.
type CopyOptions struct {
	// Archive keeps owners: files belong to whom a bind mount would show as owner.
	// Otherwise they become the container root's or the user's.
	Archive    bool
	FollowLink bool // copy what a link as the source leads to, not the link
	Overwrite  bool // replace a directory by a file, and the other way round
	Dir        string
}

// Copy copies files between containers and the host, with docker-cp(1)'s rules of
// what a path means.
func (e *Engine) Copy(ctx context.Context, src, dst CopyEnd, o CopyOptions) error {
	from, err := e.side(ctx, src)
	if err != nil {
		return err
	}
	defer from.Close()
	to := from // one container, once: it is held
	if src.Container == nil || dst.Container == nil || src.Container.ID != dst.Container.ID {
		if to, err = e.side(ctx, dst); err != nil {
			return err
		}
		defer to.Close()
	}
	for _, c := range []*state.Container{src.Container, dst.Container} {
		if c != nil {
			events.Tell(c, events.Copy)
		}
	}
	switch {
	case dst.Stream != nil:
		return from.send(ctx, readName(src.Path, "/"), dst.Stream, o)
	case src.Stream != nil:
		return to.receive(ctx, src.Stream, dst, o)
	}
	c := copying{from: from, to: to, o: o, note: e.Notice}
	if err := c.plan(nameOfEnd(src, o), nameOfEnd(dst, o)); err != nil {
		return err
	}
	defer c.close()
	return c.run(ctx)
}

func nameOfEnd(end CopyEnd, o CopyOptions) copyName {
	if end.Container != nil {
		return readName(end.Path, "/")
	}
	return readName(end.Path, o.Dir)
}

func (e *Engine) side(ctx context.Context, end CopyEnd) (*copySide, error) {
	switch {
	case end.Stream != nil:
		return &copySide{}, nil
	case end.Container == nil:
		return hostSide()
	}
	s, err := e.containerSide(ctx, end.Container)
	if err != nil {
		return nil, fmt.Errorf("open the files of %s: %w", end.Container.Name, err)
	}
	return s, nil
}

// named is how messages call a path of the side.
func (s *copySide) named(p string, err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		err = cause
	}
	if s.who == "" {
		return fmt.Errorf("%s: %w", p, err)
	}
	return fmt.Errorf("%s:%s: %w", s.who, p, err)
}

// source finds what is to be copied. A directory is opened, and base is ".", so that
// it stays one whatever takes its name meanwhile.
func (s *copySide) source(n copyName, o CopyOptions) (dir *sys.Dir, base string, err error) {
	find := s.lookup
	if o.FollowLink || n.slash {
		find = s.follow
	}
	dir, base, err = find(n.path)
	if err != nil {
		return nil, "", s.named(n.path, err)
	}
	st, err := dir.Lstat(base)
	if err == nil && st.Kind() != syscall.S_IFDIR {
		return dir, base, nil
	}
	defer dir.Close()
	if err == nil {
		dir, err = dir.OpenDir(base)
	}
	if err != nil {
		return nil, "", s.named(n.path, err)
	}
	return dir, ".", nil
}

// send writes a file or directory as a tar, with the owners that the container
// sees.
func (s *copySide) send(ctx context.Context, n copyName, w io.Writer, o CopyOptions) error {
	dir, base, err := s.source(n, o)
	if err != nil {
		return err
	}
	defer dir.Close()
	name := path.Base(n.path)
	if n.contents || n.path == "/" {
		name = ""
	}
	if n.slash && !dir.IsDir(base) {
		return s.named(n.path, ErrNotDir)
	}
	buf := bufio.NewWriterSize(w, 1<<20)
	p := archive.NewPacker(buf, archive.PackOptions{UID: s.inside(s.ids.UIDs), GID: s.inside(s.ids.GIDs), Exact: true})
	return errors.Join(p.AddTree(ctx, dir, base, name), p.Close(), buf.Flush())
}

// receive unpacks a tar, packed or not, in a directory.
func (s *copySide) receive(ctx context.Context, r *os.File, dst CopyEnd, o CopyOptions) error {
	n := readName(dst.Path, "/")
	dir, err := s.tree.OpenDir(n.path)
	if err != nil {
		return problem.Hint(s.named(n.path, err), "a tar from standard input needs a directory that exists")
	}
	defer dir.Close()
	z, _, err := archive.Decompress(r)
	if err != nil {
		return err
	}
	defer z.Close()
	return s.unpack(ctx, z, dir, s.options(o, func(uid, gid int) (int, int) {
		return int(outsideID(s.ids.UIDs, uint32(uid))), int(outsideID(s.ids.GIDs, uint32(gid))) //nolint:gosec // checked by the unpacker
	}))
}

// options are for unpacking on this side; keep translates owners that stay.
func (s *copySide) options(o CopyOptions, keep func(uid, gid int) (int, int)) archive.Options {
	out := archive.Options{KeepKinds: !o.Overwrite, Owner: keep, DropSetID: s.who == "" && !o.Archive}
	if !o.Archive {
		uid, gid := int(outsideID(s.ids.UIDs, 0)), int(outsideID(s.ids.GIDs, 0))
		out.Owner = func(int, int) (int, int) { return uid, gid }
	}
	return out
}

// unpack writes a tar into dir. On the host dir is the root for all its names; in
// a container links may lead all over the container.
func (s *copySide) unpack(ctx context.Context, r io.Reader, dir *sys.Dir, o archive.Options) error {
	if s.who != "" {
		under, err := s.tree.Path(dir)
		if err != nil {
			return err
		}
		return archive.UnpackInto(ctx, r, s.tree, under, o)
	}
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	tree, err := sys.LiveTree(f)
	if err != nil {
		return err
	}
	defer tree.Close()
	return archive.UnpackInto(ctx, r, tree, ".", o)
}

// copying is a copy from one side to the other.
type copying struct {
	from, to *copySide
	o        CopyOptions
	note     func(string)
	src, dst *sys.Dir // src holds what is copied, dst is what it goes into
	base     string   // in src
	name     string   // in dst; "" for what is in the source, without itself
}

func (c *copying) close() {
	for _, d := range []*sys.Dir{c.src, c.dst} {
		if d != nil {
			d.Close()
		}
	}
}

// plan finds both ends.
func (c *copying) plan(src, dst copyName) (err error) {
	if c.src, c.base, err = c.from.source(src, c.o); err != nil {
		return err
	}
	dir, name, err := c.to.follow(dst.path)
	if err != nil {
		return c.to.named(dst.path, err)
	}
	st, err := dir.Lstat(name)
	at := found{exists: err == nil, isDir: err == nil && st.Kind() == syscall.S_IFDIR}
	plan, err := planCopy(src, c.src.IsDir(c.base), path.Base(src.path), dst, at)
	if err != nil {
		dir.Close()
		return err
	}
	c.dst, c.name = dir, name
	if plan.intoDst {
		defer dir.Close()
		if c.dst, err = dir.OpenDir(name); err != nil {
			return c.to.named(dst.path, err)
		}
		c.name = plan.name
	}
	return nil
}

// run packs on one side and unpacks on the other. The tar in between has owners of
// the shared namespace.
func (c *copying) run(ctx context.Context) error {
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		p := archive.NewPacker(w, archive.PackOptions{Exact: true, Note: c.note})
		err := p.AddTree(ctx, c.src, c.base, c.name)
		if err == nil {
			err = p.Close()
		}
		packed <- err
		w.CloseWithError(err)
	}()
	err := c.to.unpack(ctx, r, c.dst, c.options())
	r.CloseWithError(errStopped)
	if perr := <-packed; perr != nil && !errors.Is(perr, errStopped) {
		return perr // what the other half reports follows from it
	}
	return err
}

// errStopped tells the packing half that the other one has ended.
var errStopped = errors.New("unpacking ended")

func (c *copying) options() archive.Options {
	o := c.to.options(c.o, func(uid, gid int) (int, int) {
		return c.owner(uid, c.from.ids.UIDs, c.to.ids.UIDs), c.owner(gid, c.from.ids.GIDs, c.to.ids.GIDs)
	})
	o.Note = c.note
	return o
}

// owner is who an owner of one container is in another; with the host on one side
// ids stay as they are.
func (c *copying) owner(id int, from, to []userns.Extent) int {
	if c.from.who == "" || c.to.who == "" {
		return id
	}
	n := uint32(id) //nolint:gosec // it was a uint32
	if in := c.from.inside(from); in != nil {
		n = in(n)
	}
	return int(outsideID(to, n))
}
