package archive

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/vbatts/tar-split/archive/tar"
	"github.com/vbatts/tar-split/tar/storage"

	"github.com/nook-containers/nook/pkg/sys"
)

// Limits of one layer. They are far above every honest layer and keep a hostile
// one from using up the host.
const (
	maxEntries = 10_000_000
	maxDepth   = 256       // path components
	maxName    = 4095      // bytes; PATH_MAX less its NUL
	spaceStep  = 64 << 20  // bytes written at most between two looks at the free space
	spareSpace = 32 << 20  // bytes that are left free
	filesStep  = 1_000     // entries between two looks
	copyBuffer = 256 << 10 // bytes
)

// IDRange is a run of ids that exist in this user namespace.
type IDRange struct{ First, Count uint32 }

// Options say how to unpack.
type Options struct {
	// UIDs and GIDs that files may belong to; nil: all.
	UIDs, GIDs []IDRange
	// SquashIDs gives files of other ids to 0 instead of failing.
	SquashIDs bool
	// KeepWhiteouts leaves ".wh." files as files, as fuse-overlayfs before 1.0
	// and the store's mount_program mode have them.
	KeepWhiteouts bool
	// Split receives the tar-split record, JSON lines; nil: none.
	Split io.Writer
	// Note is told, once per kind, what was left out; nil: nobody.
	Note func(string)

	// The rest is for UnpackInto.

	// Owner says who gets a file that belongs to uid and gid in the tar; nil: they
	// do.
	Owner func(uid, gid int) (int, int)
	// DropSetID takes set-user-ID and set-group-ID bits away.
	DropSetID bool
	// KeepKinds refuses to replace a directory by something else, and something
	// else by a directory.
	KeepKinds bool
}

// Result describes an unpacked tar stream.
type Result struct {
	UIDs, GIDs []uint32 // owners of files, sorted
	RootMode   uint32   // kernel mode bits of the root directory; HasRoot
	HasRoot    bool     // the tar has an entry for it
	// Squashed counts owners that SquashIDs replaced by 0, Missing is the largest of
	// them.
	Squashed int
	Missing  uint32
}

// UnmappedIDError is an owner that does not exist in this user namespace.
type UnmappedIDError struct {
	Kind string // "uid" or "gid"
	ID   uint32
	Path string
	Have uint32 // the highest id there is
}

func (e *UnmappedIDError) Error() string {
	return fmt.Sprintf("%s belongs to %s %d, but your ids end at %d", e.Path, e.Kind, e.ID, e.Have)
}

// unpacker holds one run of Unpack.
type unpacker struct {
	o      Options
	tree   *sys.Tree
	under  string // where names begin; "." for the tree's root
	dirs   dirCache
	tr     *tar.Reader
	pack   storage.Packer
	buf    []byte
	crc    *crc64.Table
	noted  map[string]bool
	uids   map[uint32]struct{}
	gids   map[uint32]struct{}
	late   []lateDir // directories whose times are set last
	root   *sys.Dir
	result Result
	space  spaceGuard
}

type lateDir struct {
	name  string
	mtime time.Time
}

// Unpack writes the tar stream r into the directory dir, which should be empty
// and that nobody else changes meanwhile. It reads r to its end.
func Unpack(ctx context.Context, r io.Reader, dir string, o Options) (Result, error) {
	tree, err := sys.NewTree(dir)
	if err != nil {
		return Result{}, err
	}
	defer tree.Close()
	return unpackAt(ctx, r, place{tree, "."}, o)
}

// UnpackInto writes the tar stream r into the directory under of a tree that is in
// use. Names and links lead nowhere out of the tree, whoever changes it meanwhile.
// The entry for the root of the tar changes nothing. Where something is mounted on
// a file, the file gets the new content and keeps the rest.
func UnpackInto(ctx context.Context, r io.Reader, tree *sys.Tree, under string, o Options) error {
	o.KeepWhiteouts = true
	_, err := unpackAt(ctx, r, place{tree, path.Clean("/" + under)[1:]}, o)
	return err
}

type place struct {
	tree  *sys.Tree
	under string
}

func unpackAt(ctx context.Context, r io.Reader, at place, o Options) (Result, error) {
	u := &unpacker{
		o: o, tree: at.tree, under: at.under, dirs: dirCache{tree: at.tree},
		buf:   make([]byte, copyBuffer),
		crc:   crc64.MakeTable(crc64.ISO),
		noted: map[string]bool{}, uids: map[uint32]struct{}{}, gids: map[uint32]struct{}{},
	}
	defer u.dirs.clear()
	var err error
	if u.root, err = at.tree.OpenDir(at.under); err != nil {
		return Result{}, err
	}
	defer u.root.Close()
	dir, err := u.root.Open(".")
	if err != nil {
		return Result{}, err
	}
	defer dir.Close()
	if err := u.space.open(dir, at.tree.Name()); err != nil {
		return Result{}, err
	}

	br := bufio.NewReaderSize(r, 64<<10)
	var split *bufio.Writer
	if o.Split != nil {
		split = bufio.NewWriterSize(o.Split, 256<<10)
		u.pack = storage.NewJSONPacker(split)
	}
	u.tr = tar.NewReader(br)
	u.tr.RawAccounting = u.pack != nil
	if err := u.entries(ctx); err != nil {
		return Result{}, err
	}
	if err := u.padding(br); err != nil {
		return Result{}, err
	}
	if split != nil {
		if err := split.Flush(); err != nil {
			return Result{}, err
		}
	}
	if err := u.setDirTimes(); err != nil {
		return Result{}, err
	}
	u.result.UIDs, u.result.GIDs = sortedKeys(u.uids), sortedKeys(u.gids)
	return u.result, nil
}

func (u *unpacker) entries(ctx context.Context) error {
	for n := 0; ; n++ {
		if n%filesStep == 0 {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			if err := u.space.check(); err != nil {
				return err
			}
		}
		if n > maxEntries {
			return fmt.Errorf("layer has more than %d files", maxEntries)
		}
		hdr, err := u.tr.Next()
		if errors.Is(err, io.EOF) {
			return u.segment()
		}
		if err != nil {
			return fmt.Errorf("read tar: %w", err)
		}
		if err := u.entry(hdr); err != nil {
			return err
		}
	}
}

// entry writes one file and records it.
func (u *unpacker) entry(hdr *tar.Header) error {
	if err := u.segment(); err != nil {
		return err
	}
	name := hdr.Name
	p := &payload{tr: u.tr}
	if hdr.Size > 0 && u.pack != nil {
		p.sum = crc64.New(u.crc)
	}
	if err := u.extract(hdr, p); err != nil {
		return err
	}
	if err := p.drain(u.buf); err != nil {
		return fmt.Errorf("read tar: %s: %w", name, err)
	}
	if u.pack == nil {
		return nil
	}
	e := storage.Entry{Type: storage.FileType, Size: hdr.Size}
	e.SetName(name)
	if p.sum != nil {
		e.Payload = p.sum.Sum(nil)
	}
	if _, err := u.pack.AddEntry(e); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return u.segment()
}

// segment records the bytes of the tar since the last call that are no payload.
func (u *unpacker) segment() error {
	if u.pack == nil {
		return nil
	}
	b := u.tr.RawBytes()
	if len(b) == 0 {
		return nil
	}
	_, err := u.pack.AddEntry(storage.Entry{Type: storage.SegmentType, Payload: b})
	return err
}

// padding reads what follows the end mark of the tar, up to the end of the
// stream: it belongs to the layer's digest.
func (u *unpacker) padding(r io.Reader) error {
	for {
		n, err := r.Read(u.buf)
		if n > 0 && u.pack != nil {
			if _, perr := u.pack.AddEntry(storage.Entry{Type: storage.SegmentType, Payload: u.buf[:n]}); perr != nil {
				return perr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// payload is the content of the current file, read at most once.
type payload struct {
	tr  *tar.Reader
	sum interface {
		io.Writer
		Sum([]byte) []byte
	}
}

func (p *payload) Read(b []byte) (int, error) {
	n, err := p.tr.Read(b)
	if p.sum != nil && n > 0 {
		_, _ = p.sum.Write(b[:n]) // a hash takes everything
	}
	return n, err
}

func (p *payload) drain(buf []byte) error {
	for {
		_, err := p.Read(buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// cleanName turns an entry's name into a path below the root, "." for the root
// itself. Names are bytes: nothing but "/" and "." has a meaning.
func cleanName(name string) (string, error) {
	if len(name) > maxName {
		return "", fmt.Errorf("%.64s…: name of %d bytes", name, len(name))
	}
	rel := path.Clean(strings.TrimLeft(name, "/"))
	if rel == ".." || strings.HasPrefix(rel, "../") {
		return "", fmt.Errorf("%s: leads out of the layer", name)
	}
	if strings.Count(rel, "/") >= maxDepth {
		return "", fmt.Errorf("%.64s…: more than %d directories deep", name, maxDepth)
	}
	return rel, nil
}

func (u *unpacker) note(kind, format string, args ...any) {
	if u.o.Note != nil && !u.noted[kind] {
		u.noted[kind] = true
		u.o.Note(fmt.Sprintf(format, args...))
	}
}

// owner checks the ids of an entry and says what it is to belong to.
func (u *unpacker) owner(hdr *tar.Header) (uid, gid int, err error) {
	uid, gid = hdr.Uid, hdr.Gid
	if u.o.Owner != nil {
		uid, gid = u.o.Owner(uid, gid)
	}
	uid, err = u.id("uid", uid, u.o.UIDs, hdr.Name)
	if err != nil {
		return 0, 0, err
	}
	gid, err = u.id("gid", gid, u.o.GIDs, hdr.Name)
	if err != nil {
		return 0, 0, err
	}
	u.uids[uint32(uid)] = struct{}{} //nolint:gosec // checked by id
	u.gids[uint32(gid)] = struct{}{} //nolint:gosec // checked by id
	return uid, gid, nil
}

func (u *unpacker) id(kind string, id int, have []IDRange, name string) (int, error) {
	const maxID = 1<<32 - 2 // -1 is "no change" to chown(2)
	if id < 0 || id > maxID {
		return 0, fmt.Errorf("%s: %s %d does not exist on Linux", name, kind, id)
	}
	if have == nil {
		return id, nil
	}
	end := uint32(0)
	for _, r := range have {
		if n := uint32(id); n >= r.First && n-r.First < r.Count {
			return id, nil
		}
		end = max(end, r.First+(r.Count-1))
	}
	if u.o.SquashIDs {
		u.result.Squashed++
		u.result.Missing = max(u.result.Missing, uint32(id))
		return 0, nil
	}
	return 0, &UnmappedIDError{Kind: kind, ID: uint32(id), Path: name, Have: end}
}

func (u *unpacker) setDirTimes() error {
	for _, d := range slices.Backward(u.late) {
		parent, base, err := u.parentOf(d.name)
		if err == nil && parent.IsDir(base) {
			err = parent.Chtimes(base, d.mtime, d.mtime)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys(m map[uint32]struct{}) []uint32 {
	out := make([]uint32, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// attrOpaque is how overlay marks an opaque directory.
func attrOpaque() []byte { return []byte{'y'} }

// xattrs returns the extended attributes of an entry that may be set.
func xattrs(hdr *tar.Header) map[string]string {
	var out map[string]string
	for key, value := range hdr.PAXRecords {
		name, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		if !ok || dropXattr(name) {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = value
	}
	return out
}

// dropXattr reports whether a layer may not set the attribute: marks of overlay
// and of containers/storage, and labels that only the host can give.
func dropXattr(name string) bool {
	for _, prefix := range []string{"trusted.", "user.overlay.", "user.containers.", "user.fuseoverlayfs.", "security.selinux"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// goodCapability checks version and length of a security.capability attribute, so
// that a damaged one is left out instead of failing the layer. The kernel adds the
// namespace's root id to version 2 itself (capabilities(7), "Namespaced file
// capabilities").
func goodCapability(value string) bool {
	if len(value) != 20 && len(value) != 24 {
		return false
	}
	version := binary.LittleEndian.Uint32([]byte(value[:4])) & 0xff000000
	return version == 0x02000000 && len(value) == 20 || version == 0x03000000 && len(value) == 24
}
