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

	dirMode  = 0o755
	fileMode = 0o644
)

// target opens dest, an absolute path in the container, for mounting on it. It
// is made where it is missing: as a directory, or else as an empty file.
func (s *setup) target(dest string, isDir bool) (int, error) { //nolint:revive // what the mount's source is
	rel := strings.TrimPrefix(dest, "/")
	if rel == "" {
		rel = "."
	}
	flags := oPath
	if isDir {
		flags = dirPath
	}
	fd, err := kern.OpenIn(s.rootFD, rel, flags, resolveFor(dest))
	if !errors.Is(err, syscall.ENOENT) {
		return fd, err
	}
	if isDir {
		return s.mkdirAll(dest)
	}
	dir, err := s.mkdirAll(path.Dir(dest))
	if err != nil {
		return -1, err
	}
	defer kern.Close(dir)
	return makeFile(dir, path.Base(dest))
}

// resolveFor keeps /proc, /sys and /dev themselves from being links: what is
// written there later must reach the real thing (CVE-2019-19921, CVE-2026-41579).
func resolveFor(dest string) uint64 {
	if dest == "/proc" || dest == "/sys" || dest == "/dev" {
		return kern.NoLinks
	}
	return kern.InRoot
}

// makeFile makes an empty file that must not exist yet.
func makeFile(dir int, name string) (int, error) {
	fd, err := kern.CreateIn(dir, name, fileMode)
	return fd, err
}

// mkdirAll opens the directory dest in the container and makes what is missing
// of it. The part that exists may contain links, confined to the root; below
// that every new component is opened without following any, so that a link
// swapped in meanwhile is an error and not a way out (CVE-2024-45310).
func (s *setup) mkdirAll(dest string) (int, error) {
	parts := strings.Split(strings.Trim(dest, "/"), "/")
	have := len(parts)
	var fd int
	var err error
	for ; have >= 0; have-- {
		rel := path.Join(append([]string{"."}, parts[:have]...)...)
		fd, err = kern.OpenIn(s.rootFD, rel, dirPath, kern.InRoot)
		if !errors.Is(err, syscall.ENOENT) {
			break
		}
	}
	if err != nil {
		return -1, err
	}
	for _, name := range parts[have:] {
		if name == "" {
			continue
		}
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
