package stage

import (
	"errors"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// existing opens a path of the container to be hidden or protected. Only its
// absence is no error.
func (s *setup) existing(p string) (fd int, found bool, err error) {
	fd, err = kern.OpenIn(s.rootFD, strings.TrimPrefix(p, "/"), oPath, kern.InRoot)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) {
		return -1, false, nil
	}
	return fd, err == nil, err
}

// maskPath hides a file behind /dev/null and a directory behind an empty,
// read-only one.
func (s *setup) maskPath(p string) error {
	fd, found, err := s.existing(p)
	if err != nil || !found {
		return err
	}
	defer kern.Close(fd)
	st, err := kern.Stat(fd)
	if err != nil {
		return err
	}
	if kern.IsDir(st.Mode) {
		return s.maskDir(fd)
	}
	if s.null == plan.NoFD {
		null := plan.Device{Path: "/dev/null", Type: 'c', Major: 1, Minor: 3}
		if s.null, err = hostNode(&null); err != nil {
			return err
		}
		return kern.Attach(s.null, fd) // from now on copies of it are allowed
	}
	return attachCopy(s.null, fd)
}

func (s *setup) maskDir(fd int) error {
	if s.mask != plan.NoFD {
		return attachCopy(s.mask, fd)
	}
	attrs := kern.AttrReadonly | kern.AttrNosuid | kern.AttrNodev | kern.AttrNoexec
	mnt, err := kern.NewFS("tmpfs", attrs, "nr_inodes=2", "size=4k", "mode=755", "ro")
	if err != nil {
		return err
	}
	s.mask = mnt
	return kern.Attach(mnt, fd)
}

func attachCopy(mnt, to int) error {
	c, err := kern.CloneTree(mnt, "")
	if err != nil {
		return err
	}
	defer kern.Close(c)
	return kern.Attach(c, to)
}

// readonlyPath mounts a path on itself, read-only with all below it.
func (s *setup) readonlyPath(p string) error {
	fd, found, err := s.existing(p)
	if err != nil || !found {
		return err
	}
	defer kern.Close(fd)
	c, err := kern.CloneTree(fd, "", kern.Recursive)
	if err != nil {
		return err
	}
	defer kern.Close(c)
	if err := kern.SetAttr(c, kern.Attr{Set: kern.AttrReadonly}, kern.Recursive); err != nil {
		return err
	}
	return kern.Attach(c, fd)
}
