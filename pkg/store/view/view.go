// Package view reads the files of a stack of layers, as an overlay mount would
// show them, without mounting anything.
//
// # Theory of operation
//
// A View is a list of layer directories, uppermost first. A directory of the
// view, a Node, is merged from the directories of that path in some of the
// layers: from the uppermost down to the first that is opaque or hidden. Reading a
// Node lists these directories and decides for every name which layer's file it
// is: a whiteout, of the kernel's kind (a character device 0/0) or of aufs's
// (".wh.NAME"), hides the name in the layers below it, and so does anything that
// is no directory. Each directory is held open, and children are opened in it
// without following links, so nothing leads out of the layers, also while a
// container changes the uppermost one.
//
// Two views that share layers are compared without reading what they share: a
// directory that is merged from the same directories in both is the same.
package view

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys"
)

// whiteout begins the names by which aufs and fuse-overlayfs hide files.
const whiteout = ".wh."

// View is the files of a stack of layers.
type View struct {
	layers   []layer
	writable bool
}

type layer struct {
	path string
	tree *sys.Tree
}

// Open opens the layer directories, uppermost first.
func Open(dirs ...string) (*View, error) {
	v := &View{}
	for _, d := range dirs {
		t, err := sys.NewTree(d)
		if err != nil {
			return nil, errors.Join(err, v.Close())
		}
		v.layers = append(v.layers, layer{d, t})
	}
	return v, nil
}

// OpenWritable is Open for a stack whose uppermost layer holds what somebody
// wrote over the others: every file in it counts as changed.
func OpenWritable(dirs ...string) (*View, error) {
	v, err := Open(dirs...)
	if v != nil {
		v.writable = true
	}
	return v, err
}

// Close closes the layers.
func (v *View) Close() error {
	var errs []error
	for _, l := range v.layers {
		errs = append(errs, l.tree.Close())
	}
	return errors.Join(errs...)
}

// Entry is one file of a directory.
type Entry struct {
	Name  string
	Stat  sys.FileStat
	Layer int   // index of the layer it is from
	parts []int // of a directory: indices into its Node's parts
}

// IsDir reports whether the entry is a directory.
func (e Entry) IsDir() bool { return e.Stat.Kind() == syscall.S_IFDIR }

// Node is an open directory.
type Node struct {
	parts []part // uppermost first
}

type part struct {
	dir   *sys.Dir
	layer int
}

// Root opens the root directory.
func (v *View) Root() (*Node, error) {
	n := &Node{}
	for i, l := range v.layers {
		d, err := l.tree.OpenDir(".")
		if err != nil {
			return nil, errors.Join(err, n.Close())
		}
		n.parts = append(n.parts, part{d, i})
		if last, err := opaque(d); err != nil {
			return nil, errors.Join(err, n.Close())
		} else if last {
			break
		}
	}
	return n, nil
}

// Close closes the directory.
func (n *Node) Close() error {
	var errs []error
	for _, p := range n.parts {
		errs = append(errs, p.dir.Close())
	}
	return errors.Join(errs...)
}

// Dir is the layer's directory that an entry of the node is in; it is valid until
// Close.
func (n *Node) Dir(e Entry) *sys.Dir {
	for _, p := range n.parts {
		if p.layer == e.Layer {
			return p.dir
		}
	}
	return nil
}

// Open opens a directory of the node.
func (n *Node) Open(e Entry) (*Node, error) {
	child := &Node{}
	for _, i := range e.parts {
		d, err := n.parts[i].dir.OpenDir(e.Name)
		if err != nil {
			return nil, errors.Join(err, child.Close())
		}
		child.parts = append(child.parts, part{d, n.parts[i].layer})
		if last, err := opaque(d); err != nil {
			return nil, errors.Join(err, child.Close())
		} else if last {
			break
		}
	}
	return child, nil
}

// opaque reports whether the directory hides those of its name in lower layers.
func opaque(d *sys.Dir) (bool, error) {
	f, err := d.Open(".")
	if err != nil {
		return false, ignoreGone(err)
	}
	defer f.Close()
	for _, attr := range []string{"user.overlay.opaque", "user.fuseoverlayfs.opaque"} {
		if value, err := sys.GetXattr(f, attr); err != nil || string(value) == "y" {
			return err == nil, err
		}
	}
	_, err = d.Lstat(whiteout + whiteout + ".opq")
	return err == nil, nil
}

// Read lists the directory, sorted by name.
func (n *Node) Read() ([]Entry, error) {
	m := merging{found: map[string]*Entry{}, closed: map[string]bool{}}
	for i, p := range n.parts {
		if err := m.layer(i, p); err != nil {
			return nil, fmt.Errorf("read %s: %w", p.dir.Name(), err)
		}
	}
	out := make([]Entry, 0, len(m.found))
	for _, e := range m.found {
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// merging is a directory while it is read, layer by layer.
type merging struct {
	found  map[string]*Entry
	closed map[string]bool // names that lower layers do not add to
}

func (m *merging) layer(i int, p part) error {
	f, err := p.dir.Open(".")
	if err != nil {
		return ignoreGone(err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil && !sys.Vanished(err) {
		return err
	}
	var hidden []string
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, whiteout); ok {
			hidden = append(hidden, rest)
			continue
		}
		if m.closed[name] {
			continue
		}
		st, err := p.dir.Lstat(name)
		if sys.Vanished(err) {
			continue
		}
		if err != nil {
			return err
		}
		m.add(name, st, i, p.layer)
	}
	for _, name := range hidden {
		m.closed[name] = true
	}
	return nil
}

// add takes a name of part i.
func (m *merging) add(name string, st sys.FileStat, i, layer int) {
	isDir := st.Kind() == syscall.S_IFDIR
	e := m.found[name]
	switch {
	case isWhiteout(st), e != nil && !isDir:
		m.closed[name] = true
		return
	case e == nil:
		e = &Entry{Name: name, Stat: st, Layer: layer}
		m.found[name] = e
	}
	if isDir {
		e.parts = append(e.parts, i)
	} else {
		m.closed[name] = true
	}
}

func isWhiteout(st sys.FileStat) bool { return st.Kind() == syscall.S_IFCHR && st.Rdev == 0 }

// sources says which directories of which layers a node is merged from, for a
// comparison: path is the node's.
func (v *View) sources(n *Node) string {
	if n == nil {
		return ""
	}
	var b strings.Builder
	for _, p := range n.parts {
		b.WriteString(v.layers[p.layer].path)
		b.WriteByte(0)
	}
	return b.String()
}

// Dir opens the directory, in the layer that an entry below path is from, for
// reading the entry's content later than the walk that found it.
func (v *View) Dir(layer int, path string) (*sys.Dir, error) {
	return v.layers[layer].tree.OpenDir(path)
}
