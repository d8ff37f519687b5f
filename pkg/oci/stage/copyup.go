package stage

import (
	"errors"
	"os"
	"strconv"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys/kern"
)

// maxDepth bounds how deep a tree copyUp goes into: PATH_MAX allows no more to
// be named anyway, and every level costs a descriptor.
const maxDepth = 256

// copyUp fills the new tmpfs to with the directory it hides, both O_PATH
// descriptors: files, directories, links and fifos with owner, mode and
// modification time. Sockets, devices and extended attributes stay behind. The tmpfs
// itself keeps its own.
func copyUp(from, to int) error { return copyDir(from, to, 0) }

func copyDir(from, to, depth int) error {
	if depth > maxDepth {
		return syscall.ELOOP
	}
	fd, err := kern.OpenIn(from, ".", syscall.O_RDONLY|syscall.O_DIRECTORY, kern.NoLinks)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), "copy-up source")
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := copyEntry(fd, to, n, depth); err != nil {
			return at("copy", strconv.Quote(n), err)
		}
	}
	return nil
}

func copyDirMeta(from, to int) error {
	st, err := kern.StatIn(from, ".")
	if err != nil {
		return err
	}
	return copyMeta(to, "", &st)
}

func copyEntry(from, to int, name string, depth int) error {
	st, err := kern.StatIn(from, name)
	if err != nil {
		return err
	}
	switch {
	case kern.IsDir(st.Mode):
		return copySubdir(from, to, name, depth)
	case kern.IsSymlink(st.Mode):
		link, err := kern.ReadlinkIn(from, name)
		if err != nil {
			return err
		}
		if err := kern.SymlinkIn(link, to, name); err != nil {
			return err
		}
		return copyMeta(to, name, &st)
	case kern.IsRegular(st.Mode):
		return copyFile(from, to, name)
	case kern.IsFIFO(st.Mode):
		if err := kern.MknodIn(to, name, st.Mode, 0); err != nil {
			return err
		}
		return copyMeta(to, name, &st)
	}
	return nil
}

func copySubdir(from, to int, name string, depth int) error {
	src, err := kern.OpenIn(from, name, dirPath|syscall.O_NOFOLLOW, kern.NoLinks)
	if err != nil {
		return err
	}
	defer kern.Close(src)
	if err := kern.MkdirIn(to, name, 0o700); err != nil {
		return err
	}
	dst, err := kern.OpenIn(to, name, dirPath|syscall.O_NOFOLLOW, kern.NoLinks)
	if err != nil {
		return err
	}
	defer kern.Close(dst)
	if err := copyDir(src, dst, depth+1); err != nil {
		return err
	}
	return copyDirMeta(src, dst)
}

// copyFile works on bare descriptors. An os.File of one that was opened without
// waiting would start the runtime's poller, whose own descriptors do not survive
// what setup does with them.
func copyFile(from, to int, name string) error {
	in, err := kern.OpenIn(from, name, syscall.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, kern.NoLinks)
	if err != nil {
		return err
	}
	defer kern.Close(in)
	st, err := kern.Stat(in)
	if err != nil {
		return err
	}
	if !kern.IsRegular(st.Mode) {
		return errors.New("changed while being copied")
	}
	out, err := kern.CreateIn(to, name, 0o600)
	if err != nil {
		return err
	}
	defer kern.Close(out)
	if err := kern.CopyAll(out, in); err != nil {
		return err
	}
	return copyMeta(out, "", &st)
}

func copyMeta(dir int, name string, st *kern.FileInfo) error {
	if err := kern.ChownIn(dir, name, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if !kern.IsSymlink(st.Mode) {
		if err := kern.ChmodIn(dir, name, st.Mode&0o7777); err != nil {
			return err
		}
	}
	return kern.SetTimes(dir, name, st)
}
