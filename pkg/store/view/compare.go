package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys"
)

// Kind says what happened to a file.
type Kind byte

// Kinds of changes, as "diff" prints them.
const (
	Added   Kind = 'A'
	Changed Kind = 'C'
	Deleted Kind = 'D'
)

func (k Kind) String() string { return string(rune(k)) }

// Change is one file that is not the same in two views.
type Change struct {
	Kind  Kind
	Path  string // absolute
	Entry Entry  // in the newer view; of a deleted file, in the older one
}

// Compare returns what makes now different from before, each directory before
// what is in it and in the order of names. A directory that only holds something
// changed counts as changed too. Two files of different layers are the same if
// kind, mode, owner, time and content are; files in the uppermost layer of a
// writable view are not looked at, they are there because somebody wrote to them.
func Compare(ctx context.Context, now, before *View) ([]Change, error) {
	c := &comparison{ctx: ctx, now: now, before: before}
	a, err := now.Root()
	if err != nil {
		return nil, err
	}
	defer a.Close()
	b, err := before.Root()
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if err := c.dirs(a, b, "/"); err != nil {
		return nil, err
	}
	return c.out, nil
}

type comparison struct {
	ctx         context.Context //nolint:containedctx // of one call of Compare
	now, before *View
	out         []Change
}

// dirs compares two directories; either may be nil.
func (c *comparison) dirs(now, before *Node, at string) error {
	if err := c.ctx.Err(); err != nil {
		return context.Cause(c.ctx)
	}
	if now != nil && before != nil && c.now.sources(now) == c.before.sources(before) {
		return nil
	}
	a, err := read(now)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	b, err := read(before)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	for len(a)+len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Name < b[0].Name:
			err = c.one(now, nil, pair{now: &a[0]}, at)
			a = a[1:]
		case len(a) == 0 || b[0].Name < a[0].Name:
			c.out = append(c.out, Change{Deleted, path.Join(at, b[0].Name), b[0]})
			b = b[1:]
		default:
			err = c.one(now, before, pair{&a[0], &b[0]}, at)
			a, b = a[1:], b[1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func read(n *Node) ([]Entry, error) {
	if n == nil {
		return nil, nil
	}
	return n.Read()
}

// pair is the entry of one name in both views; before may be nil.
type pair struct{ now, before *Entry }

// one compares an entry and what is below it.
func (c *comparison) one(now, before *Node, p pair, at string) error {
	full := path.Join(at, p.now.Name)
	mark := len(c.out)
	if p.before == nil {
		c.out = append(c.out, Change{Added, full, *p.now})
	} else {
		differs, err := c.differs(now, before, p)
		if err != nil {
			return fmt.Errorf("%s: %w", full, err)
		}
		if differs {
			c.out = append(c.out, Change{Changed, full, *p.now})
		}
	}
	if !p.now.IsDir() {
		return nil
	}
	said := len(c.out) > mark
	if !said { // its place, in case something below it changed
		c.out = append(c.out, Change{Changed, full, *p.now})
	}
	if err := c.below(now, before, p, full); err != nil {
		return err
	}
	if !said && len(c.out) == mark+1 {
		c.out = c.out[:mark]
	}
	return nil
}

func (c *comparison) below(now, before *Node, p pair, full string) error {
	a, err := now.Open(*p.now)
	if err != nil {
		return ignoreGone(err)
	}
	defer a.Close()
	var b *Node
	if p.before != nil && p.before.IsDir() {
		if b, err = before.Open(*p.before); err != nil {
			return err
		}
		defer b.Close()
	}
	return c.dirs(a, b, full)
}

func (c *comparison) differs(now, before *Node, p pair) (bool, error) {
	if c.now.layers[p.now.Layer].path == c.before.layers[p.before.Layer].path {
		return false, nil
	}
	if c.now.writable && p.now.Layer == 0 && (!p.now.IsDir() || !p.before.IsDir()) {
		return true, nil
	}
	a, b := p.now.Stat, p.before.Stat
	if a.Mode != b.Mode || a.UID != b.UID || a.GID != b.GID || !a.Mtime.Equal(b.Mtime) {
		return true, nil
	}
	switch a.Kind() {
	case syscall.S_IFREG:
		if a.Size != b.Size {
			return true, nil
		}
		return contentDiffers(now.Dir(*p.now), before.Dir(*p.before), p.now.Name)
	case syscall.S_IFLNK:
		x, err := now.Dir(*p.now).Readlink(p.now.Name)
		if err != nil {
			return true, ignoreGone(err)
		}
		y, err := before.Dir(*p.before).Readlink(p.now.Name)
		return x != y, err
	}
	return a.Rdev != b.Rdev, nil
}

// contentDiffers reads two regular files of the same name and size.
func contentDiffers(now, before *sys.Dir, name string) (bool, error) {
	a, err := now.Open(name)
	if err != nil {
		return true, ignoreGone(err)
	}
	defer a.Close()
	b, err := before.Open(name)
	if err != nil {
		return true, err
	}
	defer b.Close()
	x, y := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(a, x)
		m, berr := io.ReadFull(b, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return true, nil
		}
		if err != nil || berr != nil {
			return false, ignoreEnd(err)
		}
	}
}

// ignoreGone takes the error away that a file has changed under the walk.
func ignoreGone(err error) error {
	if sys.Vanished(err) {
		return nil
	}
	return err
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
