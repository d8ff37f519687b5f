package stage

import (
	"errors"
	"path"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys/kern"
)

const (
	oPath   = 0x200000 // O_PATH, the same on every Linux architecture
	dirPath = oPath | syscall.O_DIRECTORY

	// maxLinks is how many links one path may lead through, the kernel's own limit
	// (path_resolution(7)).
	maxLinks = 40

	dirMode  = 0o755
	fileMode = 0o644
)

// target opens dest, an absolute path in the container, for mounting on it. It
// is made where it is missing: as a directory, or else as an empty file.
func (s *setup) target(dest string, isDir bool) (int, error) { //nolint:revive // what the mount's source is
	if isDir {
		return s.mkdirAll(dest)
	}
	fd, err := kern.OpenIn(s.rootFD, below(dest), oPath, resolveFor(dest))
	if !errors.Is(err, syscall.ENOENT) {
		return fd, err
	}
	if dir, ok := s.plainParent(dest); ok {
		defer kern.Close(dir)
		if fd, err := kern.CreateIn(dir, path.Base(dest), fileMode); !errors.Is(err, syscall.EEXIST) {
			return fd, err
		}
	}
	rel, err := s.missing(dest)
	if err != nil {
		return -1, err
	}
	dir, err := s.mkdirTree(path.Dir(rel))
	if err != nil {
		return -1, err
	}
	defer kern.Close(dir)
	return kern.CreateIn(dir, path.Base(rel), fileMode)
}

// resolveFor keeps /proc, /sys and /dev themselves from being links: what is
// written there later must reach the real thing (CVE-2019-19921, CVE-2026-41579).
func resolveFor(dest string) uint64 {
	if dest == "/proc" || dest == "/sys" || dest == "/dev" {
		return kern.NoLinks
	}
	return kern.InRoot
}

// below names an absolute path of the container from its root directory.
func below(dest string) string {
	if rel := strings.TrimLeft(dest, "/"); rel != "" {
		return rel
	}
	return "."
}

// mkdirAll opens the directory dest in the container and makes what is missing
// of it, also where a link on the way points at something missing: an image's
// /var/run may lead to a /run that it doesn't have.
//
// What is missing is made in two steps. The first follows links, within the
// root, and yields a path without any; the second makes that path and follows
// none, so that a link swapped in meanwhile is an error and not a way out
// (CVE-2024-45310).
func (s *setup) mkdirAll(dest string) (int, error) {
	fd, err := kern.OpenIn(s.rootFD, below(dest), dirPath, resolveFor(dest))
	if !errors.Is(err, syscall.ENOENT) {
		return fd, err
	}
	if dir, ok := s.plainParent(dest); ok {
		defer kern.Close(dir)
		if err := kern.MkdirIn(dir, path.Base(dest), dirMode); err == nil {
			return kern.OpenIn(dir, path.Base(dest), dirPath|syscall.O_NOFOLLOW, kern.NoLinks)
		} else if !errors.Is(err, syscall.EEXIST) {
			return -1, err
		}
	}
	rel, err := s.missing(dest)
	if err != nil {
		return -1, err
	}
	return s.mkdirTree(rel)
}

// plainParent opens the directory that dest is missing from, if there is one and no link
// leads there: nearly always, and then there are no links to be followed by name.
func (s *setup) plainParent(dest string) (fd int, ok bool) {
	if dest != path.Clean(dest) || dest == "/" {
		return -1, false
	}
	fd, err := kern.OpenIn(s.rootFD, below(path.Dir(dest)), dirPath, kern.NoLinks)
	return fd, err == nil
}

// missing is where dest would be, from the root and without links.
func (s *setup) missing(dest string) (string, error) {
	links := maxLinks
	if resolveFor(dest) == kern.NoLinks {
		links = 0
	}
	return follow(dest, links, s.readlink)
}

// follow replaces the links in dest, at most links of them, as the kernel does for
// a process whose root is the container's; what does not exist counts as a
// directory. readlink returns what the link at a path without links says, or ""
// where there is none.
func follow(dest string, links int, readlink func(rel string) (string, error)) (string, error) {
	at, todo := ".", dest
	for todo != "" {
		var name string
		name, todo, _ = strings.Cut(todo, "/")
		switch name {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at) // of "." that is itself
			continue
		}
		to, err := readlink(path.Join(at, name))
		switch {
		case err != nil:
			return "", err
		case to == "":
			at = path.Join(at, name)
			continue
		case links == 0:
			return "", syscall.ELOOP
		case path.IsAbs(to):
			at = "."
		}
		links--
		todo = to + "/" + todo
	}
	return at, nil
}

func (s *setup) readlink(rel string) (string, error) {
	fd, err := kern.OpenIn(s.rootFD, rel, oPath|syscall.O_NOFOLLOW, kern.NoLinks)
	if errors.Is(err, syscall.ENOENT) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	defer kern.Close(fd)
	st, err := kern.Stat(fd)
	if err != nil || !kern.IsSymlink(st.Mode) {
		return "", err
	}
	return kern.ReadlinkIn(fd, "")
}

// mkdirTree opens the directory rel, below the root, and makes what is missing
// of it. No component may be a link.
func (s *setup) mkdirTree(rel string) (int, error) {
	fd, err := kern.OpenIn(s.rootFD, ".", dirPath, kern.NoLinks)
	if err != nil || rel == "." {
		return fd, err
	}
	for name := range strings.SplitSeq(rel, "/") {
		next, err := mkdirOpen(fd, name)
		kern.Close(fd)
		if err != nil {
			return -1, err
		}
		fd = next
	}
	return fd, nil
}

func mkdirOpen(dir int, name string) (int, error) {
	fd, err := kern.OpenIn(dir, name, dirPath|syscall.O_NOFOLLOW, kern.NoLinks)
	if !errors.Is(err, syscall.ENOENT) {
		return fd, err
	}
	if err := kern.MkdirIn(dir, name, dirMode); err != nil && !errors.Is(err, syscall.EEXIST) {
		return -1, err
	}
	return kern.OpenIn(dir, name, dirPath|syscall.O_NOFOLLOW, kern.NoLinks)
}

// refuseLink fails where name at the top of the root is a symbolic link: what
// is made and removed below it would be made and removed elsewhere.
func (s *setup) refuseLink(name string) error {
	st, err := kern.StatIn(s.rootFD, name)
	switch {
	case errors.Is(err, syscall.ENOENT):
		return nil
	case err != nil:
		return at("check", "/"+name, err)
	case kern.IsSymlink(st.Mode):
		return at("check", "/"+name, errors.New("is a symbolic link in this root file system; it must be a directory"))
	}
	return nil
}
