package stage

import (
	"errors"
	"fmt"
	"path"
	"syscall"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// devices makes the nodes and links that every container has, and the spec's.
func (s *setup) devices() error {
	if !s.FS.OwnDev {
		return nil
	}
	for i := range s.FS.Devices {
		d := &s.FS.Devices[i]
		if err := s.device(d); err != nil {
			return at("make device", d.Path, err)
		}
	}
	dev, err := s.target("/dev", true)
	if err != nil {
		return at("open", "/dev", err)
	}
	defer kern.Close(dev)
	for _, l := range [...][2]string{
		{"fd", "/proc/self/fd"},
		{"stdin", "/proc/self/fd/0"},
		{"stdout", "/proc/self/fd/1"},
		{"stderr", "/proc/self/fd/2"},
	} {
		if err := kern.SymlinkIn(l[1], dev, l[0]); err != nil && !errors.Is(err, syscall.EEXIST) {
			return at("make link", "/dev/"+l[0], err)
		}
	}
	err = kern.SymlinkIn("pts/ptmx", dev, "ptmx")
	if errors.Is(err, syscall.EEXIST) { // an image's own would be another devpts
		if err = kern.UnlinkIn(dev, "ptmx"); err == nil {
			err = kern.SymlinkIn("pts/ptmx", dev, "ptmx")
		}
	}
	return at("make link", "/dev/ptmx", err)
}

// device puts a node of the host at the same path into the container; where
// there is none it is made, which only real root can do.
func (s *setup) device(d *plan.Device) error {
	if d.Type != 'p' {
		tree, err := hostNode(d)
		if err == nil {
			defer kern.Close(tree)
			return s.attachNode(tree, d.Path)
		}
		if merr := s.mknod(d); merr != nil {
			return errors.Join(err, merr)
		}
		return nil
	}
	return s.mknod(d)
}

func (s *setup) attachNode(tree int, dest string) error {
	to, err := s.target(dest, false)
	if err != nil {
		return err
	}
	defer kern.Close(to)
	return kern.Attach(tree, to)
}

// hostNode returns a detached mount of the host's node, which is checked to be
// the device that was meant and not merely called so (CVE-2025-31133).
func hostNode(d *plan.Device) (int, error) {
	fd, err := kern.CloneTree(kern.AtCwd, d.Path, kern.NoFollow)
	if err != nil {
		return -1, fmt.Errorf("host's %s: %w", d.Path, err)
	}
	st, err := kern.Stat(fd)
	want := uint32(syscall.S_IFCHR)
	if d.Type == 'b' {
		want = syscall.S_IFBLK
	}
	if err == nil && (st.Mode&syscall.S_IFMT != want || st.Rdev != kern.Mkdev(d.Major, d.Minor)) {
		err = fmt.Errorf("host's %s is not the device %c %d:%d", d.Path, d.Type, d.Major, d.Minor)
	}
	if err != nil {
		kern.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (s *setup) mknod(d *plan.Device) error {
	dir, err := s.mkdirAll(path.Dir(d.Path))
	if err != nil {
		return err
	}
	defer kern.Close(dir)
	mode := d.Mode & 0o7777
	switch d.Type {
	case 'c':
		mode |= syscall.S_IFCHR
	case 'b':
		mode |= syscall.S_IFBLK
	case 'p':
		mode |= syscall.S_IFIFO
	}
	if err := kern.MknodIn(dir, path.Base(d.Path), mode, kern.Mkdev(d.Major, d.Minor)); err != nil {
		return fmt.Errorf("mknod %c %d:%d: %w", d.Type, d.Major, d.Minor, err)
	}
	if d.UID == 0 && d.GID == 0 {
		return nil
	}
	fd, err := kern.OpenIn(dir, path.Base(d.Path), oPath|syscall.O_NOFOLLOW, kern.NoLinks)
	if err != nil {
		return err
	}
	defer kern.Close(fd)
	return kern.Chown(fd, int(d.UID), int(d.GID))
}

// console makes the container's terminal and shows it as /dev/console.
func (s *setup) console() error {
	if !s.Process.Terminal {
		return nil
	}
	if err := s.openTerminal(); err != nil {
		return err
	}
	if !s.FS.OwnDev {
		return nil
	}
	tree, err := kern.CloneTree(s.peer, "")
	if err != nil {
		return at("open", "terminal", err)
	}
	defer kern.Close(tree)
	return at("mount", "/dev/console", s.attachConsole(tree))
}

// openTerminal makes a terminal in the container's own devpts. Neither end is
// ever opened by a path that the container could have made a link of
// (CVE-2025-52565): the master is checked to be a multiplexer of a devpts, the
// other end comes from the master.
func (s *setup) openTerminal() error {
	master, err := kern.OpenIn(s.rootFD, "dev/pts/ptmx", syscall.O_RDWR|syscall.O_NOCTTY, kern.NoLinks)
	if err != nil {
		return at("open", "/dev/pts/ptmx", err)
	}
	st, err := kern.Stat(master)
	if err != nil {
		return at("check", "/dev/pts/ptmx", err)
	}
	magic, err := kern.FSMagic(master)
	if err != nil {
		return at("check", "/dev/pts/ptmx", err)
	}
	if magic != kern.DevptsMagic || !kern.IsCharDevice(st.Mode) || st.Rdev != kern.Mkdev(5, 2) {
		return at("check", "/dev/pts/ptmx", errors.New("is not the terminal multiplexer of a devpts"))
	}
	peer, err := kern.PtyPeer(master)
	if err != nil {
		return at("open", "terminal", err)
	}
	s.ptmx, s.peer = master, peer
	if s.Process.Rows == 0 && s.Process.Cols == 0 {
		return nil
	}
	return at("set size of", "terminal", kern.SetWinsize(master, s.Process.Rows, s.Process.Cols))
}

func (s *setup) attachConsole(tree int) error {
	dev, err := s.target("/dev", true)
	if err != nil {
		return err
	}
	defer kern.Close(dev)
	to, err := kern.CreateIn(dev, "console", fileMode)
	if errors.Is(err, syscall.EEXIST) {
		to, err = kern.OpenIn(dev, "console", oPath|syscall.O_NOFOLLOW, kern.NoLinks)
	}
	if err != nil {
		return err
	}
	defer kern.Close(to)
	st, err := kern.Stat(to)
	if err != nil {
		return err
	}
	if kern.IsSymlink(st.Mode) { // O_PATH opens even those
		return errors.New("is a symbolic link")
	}
	return kern.Attach(tree, to)
}
