package view

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/nook-containers/nook/pkg/archive"
)

// Pack writes all files of the view, names without a leading slash. Those whose
// absolute path skip reports are left out, but not what is below them; nil: none.
func (v *View) Pack(ctx context.Context, p *archive.Packer, skip func(path string) bool) error {
	root, err := v.Root()
	if err != nil {
		return err
	}
	defer root.Close()
	return packNode(ctx, p, root, packing{"/", skip})
}

type packing struct {
	at   string
	skip func(string) bool
}

func packNode(ctx context.Context, p *archive.Packer, n *Node, o packing) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	entries, err := n.Read()
	if err != nil {
		return err
	}
	for _, e := range entries {
		full := path.Join(o.at, e.Name)
		if err := packEntry(ctx, p, n, e, packing{full, o.skip}); err != nil {
			return fmt.Errorf("%s: %w", full, err)
		}
	}
	return nil
}

func packEntry(ctx context.Context, p *archive.Packer, n *Node, e Entry, o packing) error {
	var err error
	if o.skip == nil || !o.skip(o.at) {
		err = p.Add(n.Dir(e), e.Name, strings.TrimPrefix(o.at, "/"))
	}
	if err != nil || !e.IsDir() {
		return ignoreGone(err)
	}
	child, err := n.Open(e)
	if err != nil {
		return ignoreGone(err)
	}
	defer child.Close()
	return packNode(ctx, p, child, o)
}

// PackChanges writes changes, which Compare found in v, as a layer: what was
// deleted becomes a whiteout (image-spec, layer.md).
func (v *View) PackChanges(ctx context.Context, p *archive.Packer, changes []Change) error {
	for _, c := range changes {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		name := strings.TrimPrefix(c.Path, "/")
		if c.Kind == Deleted {
			if err := p.Whiteout(name); err != nil {
				return err
			}
			continue
		}
		dir, err := v.Dir(c.Entry.Layer, path.Dir(name))
		if err == nil {
			err = errors.Join(p.Add(dir, c.Entry.Name, name), dir.Close())
		}
		if err = ignoreGone(err); err != nil {
			return fmt.Errorf("%s: %w", c.Path, err)
		}
	}
	return nil
}
