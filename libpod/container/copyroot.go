package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/cleanup"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/userns"
)

// A copySide is one end of a copy: a root directory in which paths are resolved,
// and what its owners mean in the shared user namespace.
type copySide struct {
	tree *sys.Tree
	who  string // "" for the host
	undo cleanup.Stack
	ids  userns.Map // inside and outside; empty: the same
}

func (s *copySide) Close() error {
	if s.tree == nil {
		return s.undo.Run()
	}
	return errors.Join(s.tree.Close(), s.undo.Run())
}

// open makes f the root.
func (s *copySide) open(f *os.File) (err error) {
	defer f.Close()
	s.tree, err = sys.LiveTree(f)
	return err
}

// hostSide is the user's own files.
func hostSide() (*copySide, error) {
	root, err := os.Open("/")
	if err != nil {
		return nil, err
	}
	s := &copySide{}
	return s, s.open(root)
}

// containerSide opens the files of c with its volumes: those that its first
// process sees or, of one that does not run, those that it would see.
func (e *Engine) containerSide(ctx context.Context, c *state.Container) (_ *copySide, err error) {
	s := &copySide{who: c.Name}
	if s.ids, err = idMaps(c.Spec.UserNS); err != nil {
		return nil, err
	}
	root, err := c.OpenLive("root")
	if err == nil && root == nil {
		root, err = e.assemble(ctx, c, &s.undo)
	}
	if err == nil {
		err = s.open(root)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// assemble mounts what c would see, in this process's mount namespace, and holds c
// so that nobody starts it meanwhile.
func (e *Engine) assemble(ctx context.Context, c *state.Container, undo *cleanup.Stack) (*os.File, error) {
	if err := c.Hold(); err != nil {
		return nil, err
	}
	undo.Push("let go of the container", func() error { c.Release(); return nil })
	root, err := e.rootFS(c)
	if err != nil {
		return nil, err
	}
	undo.Push("give the root file system back", root.Close)
	at := mountPoint(c)
	if err := os.MkdirAll(at, 0o700); err != nil {
		return nil, err
	}
	undo.Push("remove the mount point", func() error { return ignore(os.Remove(at), fs.ErrNotExist) })
	dir, err := os.Open(at)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if err := sys.Attach(root.Mount, dir); err != nil {
		return nil, err
	}
	undo.Push("unmount", func() error { _, err := sys.Unmount(at); return err })
	mounted, err := os.Open(at)
	if err != nil {
		return nil, err
	}
	err = e.attachMounts(ctx, c, root, mounted)
	if err == nil && c.Spec.ReadOnly {
		err = sys.MakeReadOnly(mounted) // now that there is something to mount on
	}
	if err != nil {
		return nil, errors.Join(err, mounted.Close())
	}
	return mounted, nil
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// attachMounts mounts what the user asked for where the container would have it,
// parents before children; a tmpfs would be empty.
func (e *Engine) attachMounts(ctx context.Context, c *state.Container, root *store.RootFS, mounted *os.File) error {
	if len(c.Spec.Mounts) == 0 {
		return nil
	}
	dir, err := bundle(c)
	if err != nil {
		return err
	}
	built, err := buildSpec(place{c: c, root: root, dir: dir, joined: &joined{spec: c.Spec}}, StartOptions{})
	if err != nil {
		return err
	}
	m, err := e.mounts(ctx, c, root, built)
	if err != nil {
		return err
	}
	defer m.close()
	tree, err := sys.LiveTree(mounted)
	if err != nil {
		return err
	}
	defer tree.Close()
	for _, out := range built.Mounts {
		asked := slices.ContainsFunc(c.Spec.Mounts, func(s spec.Mount) bool { return path.Clean(s.Target) == out.Destination })
		if !asked || out.Type != "bind" {
			continue
		}
		if err := attachMount(tree, out, m.trees[out.Destination]); err != nil {
			return fmt.Errorf("volume %s: %w", out.Destination, err)
		}
	}
	return nil
}

// attachMount mounts src, or where there is none the mount's source.
func attachMount(tree *sys.Tree, m specs.Mount, src *os.File) (err error) {
	if src == nil {
		if src, err = sys.CloneDirs(m.Source); err != nil {
			return err
		}
		defer src.Close()
	}
	if slices.Contains(m.Options, "ro") {
		if err := sys.MakeAllReadOnly(src); err != nil {
			return err
		}
	}
	kind, err := src.Stat()
	if err != nil {
		return err
	}
	target, err := tree.Place(m.Destination)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeTarget(tree, m.Destination, kind); err == nil {
			target, err = tree.Place(m.Destination)
		}
	}
	if err != nil {
		return err
	}
	defer target.Close()
	return sys.Attach(src, target)
}

// makeTarget makes what a container's first start would make to mount on: a
// directory, or for anything else a file.
func makeTarget(tree *sys.Tree, at string, kind os.FileInfo) error {
	if kind.IsDir() {
		return makeDirs(tree, at)
	}
	if err := makeDirs(tree, path.Dir(at)); err != nil {
		return err
	}
	parent, err := tree.OpenDir(path.Dir(at))
	if err != nil {
		return err
	}
	defer parent.Close()
	f, err := parent.Create(path.Base(at), 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

func makeDirs(tree *sys.Tree, at string) error {
	d, err := tree.OpenDir(at)
	if err == nil {
		return d.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) || at == "/" {
		return err
	}
	if err := makeDirs(tree, path.Dir(at)); err != nil {
		return err
	}
	parent, err := tree.OpenDir(path.Dir(at))
	if err != nil {
		return err
	}
	defer parent.Close()
	return parent.Mkdir(path.Base(at), 0o755)
}

// lookup finds the directory that p is in, and p's name in it. The name "." stands
// for the directory itself.
func (s *copySide) lookup(p string) (*sys.Dir, string, error) {
	parent, base := path.Split(p)
	if base == "" || base == "." || base == ".." {
		d, err := s.tree.OpenDir(p)
		return d, ".", err
	}
	d, err := s.tree.OpenDir(parent)
	return d, base, err
}

// follow is lookup of what p leads to if it is a link, also where nothing is yet.
func (s *copySide) follow(p string) (*sys.Dir, string, error) {
	const maxLinks = 40 // path_resolution(7)
	for range maxLinks {
		d, base, err := s.lookup(p)
		if err != nil || !d.IsLink(base) {
			return d, base, err
		}
		target, err := d.Readlink(base)
		d.Close()
		if err != nil {
			return nil, "", err
		}
		if path.IsAbs(target) {
			p = target
		} else {
			p = strings.TrimSuffix(p, base) + target
		}
	}
	return nil, "", &os.PathError{Op: "open", Path: p, Err: syscall.ELOOP}
}

// inside translates owners of the shared namespace into the container's; nil for
// no map.
func (s *copySide) inside(m []userns.Extent) func(uint32) uint32 {
	if len(m) == 0 {
		return nil
	}
	return func(id uint32) uint32 {
		for _, e := range m {
			if id >= e.Outside && id-e.Outside < e.Size {
				return e.Inside + id - e.Outside
			}
		}
		return nobody
	}
}

// outsideID is the way back.
func outsideID(m []userns.Extent, id uint32) uint32 {
	if len(m) == 0 {
		return id
	}
	for _, e := range m {
		if id >= e.Inside && id-e.Inside < e.Size {
			return e.Outside + id - e.Inside
		}
	}
	return nobody
}

// nobody owns what belongs to no id of a namespace (user_namespaces(7)).
const nobody = 65534
