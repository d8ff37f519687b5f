package archive

import (
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/nook-containers/nook/pkg/sys"
)

// maxLinks is how many dangling links are followed to make one directory; the
// kernel's own limit for a path (path_resolution(7)).
const maxLinks = 40

// dirCache keeps the directories used last open: a tar lists the files of one
// directory in a row, and goes down and up between neighbours.
type dirCache struct {
	tree *sys.Tree
	name [8]string
	dir  [8]*sys.Dir
	next int
	// stale says that a directory was replaced. The directories stay open for the
	// entry at hand and are forgotten at the next get.
	stale bool
}

// get returns the directory name, made if it is not there. The result is valid
// until the next call of get or clear.
func (c *dirCache) get(name string) (*sys.Dir, error) {
	if c.stale {
		c.clear()
	}
	for i, d := range c.dir {
		if d != nil && c.name[i] == name {
			return d, nil
		}
	}
	d, err := c.tree.OpenDir(name)
	if errors.Is(err, os.ErrNotExist) {
		d, err = c.makeAll(name, maxLinks)
	}
	if err != nil {
		return nil, err
	}
	if old := c.dir[c.next]; old != nil {
		old.Close()
	}
	c.name[c.next], c.dir[c.next] = name, d
	c.next = (c.next + 1) % len(c.dir)
	return d, nil
}

func (c *dirCache) clear() {
	c.stale = false
	for i, d := range c.dir {
		if d != nil {
			d.Close()
			c.dir[i] = nil
		}
	}
}

// makeAll makes the directory name and its parents, mode 0755 and of root, as
// tar(1) does for an archive that has no entries for them. A dangling link on
// the way gets the directory that it points to, inside the tree.
func (c *dirCache) makeAll(name string, links int) (*sys.Dir, error) {
	if links == 0 {
		return nil, fmt.Errorf("make directory %s: too many links", name)
	}
	parent, err := c.tree.OpenDir(path.Dir(name))
	if errors.Is(err, os.ErrNotExist) && name != "." {
		parent, err = c.makeAll(path.Dir(name), links)
	}
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	base := path.Base(name)
	err = parent.Mkdir(base, 0o755)
	if errors.Is(err, os.ErrExist) {
		target, lerr := parent.Readlink(base)
		if lerr != nil {
			return nil, err
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		return c.makeAll(path.Join("/", target)[1:], links-1)
	}
	if err != nil {
		return nil, err
	}
	if err := parent.Chmod(base, 0o755); err != nil { // whatever the umask
		return nil, err
	}
	return c.tree.OpenDir(name)
}

// parentOf returns the directory of a clean name and the last component.
func (u *unpacker) parentOf(name string) (*sys.Dir, string, error) {
	if name == "." {
		return u.root, ".", nil
	}
	d, err := u.dirs.get(path.Dir(name))
	return d, path.Base(name), err
}
