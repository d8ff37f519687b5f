package container

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Errors of a copy, to match with errors.Is.
var (
	ErrDirToFile = errors.New("a directory cannot be copied to a file")
	ErrNoSuchDir = errors.New("no such directory")
	ErrNotDir    = errors.New("not a directory")
)

// copyName is a path as the user wrote it: how it ends says what is meant.
type copyName struct {
	path     string // clean; relative paths are made absolute before
	slash    bool   // ended in "/" or "/.": it must be a directory
	contents bool   // ended in "/.": what is in it
}

// readName takes the ending off p, which is relative to dir.
func readName(p, dir string) copyName {
	n := copyName{
		contents: p == "." || strings.HasSuffix(p, "/."),
		slash:    p == "." || p == ".." || strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/.."),
	}
	if !path.IsAbs(p) {
		p = dir + "/" + p
	}
	n.path = path.Clean(p)
	return n
}

// found is what is at a path.
type found struct{ exists, isDir bool }

// copyPlan says where the tar of a source goes.
type copyPlan struct {
	intoDst bool   // into the destination itself; else into the directory it is in
	name    string // of the source in the tar; "" for what is in it, without itself
}

// planCopy applies docker-cp(1)'s rules. base is the source's own name.
func planCopy(src copyName, isDir bool, base string, dst copyName, at found) (copyPlan, error) {
	switch {
	case src.slash && !isDir:
		return copyPlan{}, fmt.Errorf("%s: %w", src.path, ErrNotDir)
	case at.exists && at.isDir:
		if src.contents || src.path == "/" {
			base = ""
		}
		return copyPlan{intoDst: true, name: base}, nil
	case at.exists && isDir:
		return copyPlan{}, fmt.Errorf("%s: %w", dst.path, ErrDirToFile)
	case at.exists && dst.slash:
		return copyPlan{}, fmt.Errorf("%s: %w", dst.path, ErrNotDir)
	case !at.exists && dst.slash && !isDir:
		return copyPlan{}, fmt.Errorf("%s: %w", dst.path, ErrNoSuchDir)
	}
	return copyPlan{}, nil // under the destination's name
}
