package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	cdispecs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/cleanup"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/filetree"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/sys"
)

// mounter gives the mounts of a container, as the runtime spec has them, their
// sources.
type mounter struct {
	e    *Engine
	c    *state.Container
	root *os.File // its root file system
	spec *specs.Spec
	// trees are detached mounts by their target: what no path of the host shows.
	trees map[string]*os.File
	noted bool // the user knows whom files will belong to
	undo  cleanup.Stack
}

// place is where a container runs: its root file system, the directory of its
// generated files, and what it has of other containers.
type place struct {
	c      *state.Container
	root   *store.RootFS
	dir    string
	joined *joined
	net    netView
	// described is what devices need that the host describes; nil: there are none.
	described *cdispecs.ContainerEdits
}

// specAndMounts builds the runtime spec and prepares what it mounts.
func (e *Engine) specAndMounts(ctx context.Context, p place, o StartOptions) (*specs.Spec, *mounter, error) {
	var err error
	if p.described, err = e.describe(p.c.Spec); err != nil {
		return nil, nil, err
	}
	built, err := buildSpec(p, o)
	if err != nil {
		return nil, nil, err
	}
	m, err := e.mounts(ctx, p.c, p.root, built)
	if err != nil {
		return nil, nil, err
	}
	if shm := m.find(ocispec.ShmDir); p.joined.shm != nil && shm != nil && shm.Source == ocispec.ShmDir {
		m.trees[ocispec.ShmDir] = p.joined.shm
	}
	if err := m.secrets(ctx, o.Secrets); err != nil {
		m.close()
		return nil, nil, err
	}
	return built, m, nil
}

// mounts prepares what c has mounted beside its root, and completes built with
// it. The detached mounts in the result are for oci.Config; close frees them once
// the container has its own. What must live as long as the container is kept by
// root.
func (e *Engine) mounts(ctx context.Context, c *state.Container, root *store.RootFS, built *specs.Spec) (_ *mounter, err error) {
	m := &mounter{e: e, c: c, root: root.Mount, spec: built, trees: map[string]*os.File{}}
	defer m.undo.RunOnError(&err)
	for i := range c.Spec.Mounts {
		mnt := &c.Spec.Mounts[i]
		out := m.find(mnt.Target)
		if out == nil {
			continue
		}
		switch mnt.Type {
		case spec.MountBind:
			err = m.bind(ctx, mnt, i)
		case spec.MountVolume:
			err = m.volume(ctx, mnt, out, i)
		case spec.MountImage:
			err = m.image(mnt, root, i)
		}
		if err != nil {
			return nil, fmt.Errorf("mount %s: %w", mnt.Target, err)
		}
	}
	return m, nil
}

func (m *mounter) close() { _ = m.undo.Run() } // descriptors that nothing was written to

func (m *mounter) find(target string) *specs.Mount {
	i := slices.IndexFunc(m.spec.Mounts, func(s specs.Mount) bool { return s.Destination == path.Clean(target) })
	if i < 0 {
		return nil
	}
	return &m.spec.Mounts[i]
}

// give makes tree the source of mnt.
func (m *mounter) give(mnt *spec.Mount, tree *os.File) {
	m.undo.Push("close "+mnt.Target, tree.Close)
	m.trees[path.Clean(mnt.Target)] = tree
	m.find(mnt.Target).Source = mnt.Target // for messages; the tree counts
}

func (m *mounter) bind(ctx context.Context, mnt *spec.Mount, n int) error {
	if mnt.Overlay {
		return m.overlay(mnt, mnt.Source, n)
	}
	if !mnt.Chown {
		return m.noteOwner(mnt)
	}
	if err := chownable(mnt.Source); err != nil {
		return err
	}
	return m.chown(ctx, mnt.Source)
}

// chownable refuses to give away what can only be a mistake: the host's own
// directories, and all of the user's.
func chownable(dir string) error {
	dir = path.Clean(dir)
	home, err := config.Home()
	if err == nil && (dir == home || strings.HasPrefix(home, dir+"/")) || dir == "/" {
		return problem.Hint(fmt.Errorf("%s: option U would give all of it to the container", dir), "name a directory below it")
	}
	if i := strings.IndexByte(dir[1:], '/'); i < 0 {
		switch dir {
		case "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root", "/run", "/sbin",
			"/srv", "/sys", "/tmp", "/usr", "/var":
			return fmt.Errorf("%s: option U would change the host's own files", dir)
		}
	}
	return nil
}

// chown gives the files of dir, a directory or a file, to the container's user.
func (m *mounter) chown(ctx context.Context, dir string) error {
	uid, gid, err := m.user()
	if err != nil {
		return err
	}
	d, err := sys.OpenHostDir(dir)
	if err == nil {
		defer d.Close()
		err = filetree.Chown(ctx, d, uid, gid)
	} else if fi, serr := os.Stat(dir); serr == nil && !fi.IsDir() {
		err = os.Chown(dir, int(uid), int(gid))
	}
	if errors.Is(err, fs.ErrPermission) {
		return problem.Hint(fmt.Errorf("option U: %w", err), "its files belong to another user of the host: leave the option U out")
	}
	return err
}

// user is the container's, in ids of the user's namespace.
func (m *mounter) user() (uid, gid uint32, err error) {
	u := m.spec.Process.User
	if uid, err = outside(m.spec.Linux.UIDMappings, u.UID); err != nil {
		return 0, 0, fmt.Errorf("user of the container: %w", err)
	}
	if gid, err = outside(m.spec.Linux.GIDMappings, u.GID); err != nil {
		return 0, 0, fmt.Errorf("group of the container: %w", err)
	}
	return uid, gid, nil
}

// outside translates an id of the container. Without maps it shares the
// namespace.
func outside(maps []specs.LinuxIDMapping, id uint32) (uint32, error) {
	if len(maps) == 0 {
		return id, nil
	}
	for _, e := range maps {
		if id >= e.ContainerID && id-e.ContainerID < e.Size {
			return e.HostID + (id - e.ContainerID), nil
		}
	}
	return 0, fmt.Errorf("id %d does not exist in it", id)
}

func (m *mounter) volume(ctx context.Context, mnt *spec.Mount, out *specs.Mount, n int) error {
	v, err := m.e.Volumes().Get(mnt.Volume)
	if err != nil {
		return problem.Hint(err, "run: nook volume create %s", mnt.Volume)
	}
	b := v.Backing()
	if b.Kind == volume.Tmpfs {
		return m.memory(v, mnt, out)
	}
	if err := v.First(volume.Durability(!m.c.Ephemeral()), func(data *sys.Dir) error {
		return m.first(ctx, data, mnt, b)
	}); err != nil {
		return err
	}
	dir := v.Mountpoint()
	out.Source = dir
	out.Options = append(slices.Clone(b.Options), out.Options...)
	if mnt.Chown && b.Kind == volume.Bind {
		if err := chownable(dir); err != nil {
			return err
		}
	}
	if mnt.Chown {
		if err := m.chown(ctx, dir); err != nil {
			return err
		}
	}
	switch {
	case mnt.Overlay && mnt.Subpath != "":
		return errors.New("option O and a subpath exclude each other")
	case mnt.Overlay:
		return m.overlay(mnt, dir, n)
	case mnt.Subpath != "":
		return m.below(mnt, dir)
	}
	return nil
}

// first prepares a new volume: it gets what the image has at its target. Where
// the image has nothing there the container's user owns it, unless its options
// name an owner.
func (m *mounter) first(ctx context.Context, data *sys.Dir, mnt *spec.Mount, b volume.Backing) error {
	owned := b.UID != nil || b.GID != nil
	from, err := sys.DirInRoot(m.root, mnt.Target)
	switch {
	case errors.Is(err, fs.ErrNotExist) && owned:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		uid, gid, err := m.user()
		if err != nil {
			return err
		}
		return data.Lchown(".", int(uid), int(gid))
	case err != nil:
		return fmt.Errorf("look into the image: %w", err)
	}
	defer from.Close()
	if mnt.NoCopy || b.NoCopy {
		err = filetree.CopyTop(from, data)
	} else {
		err = filetree.Copy(ctx, from, data)
	}
	if err != nil {
		return fmt.Errorf("copy from the image: %w", err)
	}
	if owned {
		return data.Lchown(".", orKeep(b.UID), orKeep(b.GID))
	}
	return nil
}

// orKeep is the id, or what chown(2) leaves alone.
func orKeep(id *uint32) int {
	if id == nil {
		return -1
	}
	return int(*id)
}

// memory mounts a volume of the type tmpfs. Its files are where only the one
// container sees them, so no two can have it.
func (m *mounter) memory(v *volume.Volume, mnt *spec.Mount, out *specs.Mount) error {
	if mnt.Overlay || mnt.Subpath != "" {
		return fmt.Errorf("volume %s: is a tmpfs: options O and subpath do not apply", v.Name)
	}
	users, err := volume.Users(m.e.State)
	if err != nil {
		return err
	}
	for _, c := range users[v.Name] {
		if c.ID == m.c.ID {
			continue // to ask for our own lock would drop it (fcntl(2))
		}
		st, err := c.Status()
		if err != nil {
			return err
		}
		if st.Alive() {
			return problem.Hint(fmt.Errorf("volume %s: is a tmpfs that container %s has; it cannot be shared", v.Name, c.Name),
				"stop it first: nook rm -f %s; or use a volume on disk", c.Name)
		}
	}
	*out = specs.Mount{
		Destination: out.Destination, Type: "tmpfs", Source: "tmpfs", Options: memoryOptions(mnt, v.Backing(), m.spec.Process.User),
	}
	return nil
}

// memoryOptions are the mount options of a volume in memory.
func memoryOptions(mnt *spec.Mount, b volume.Backing, user specs.User) []string {
	opts := append([]string{"nosuid", "nodev"}, b.Options...)
	if !b.NoCopy && !mnt.NoCopy {
		opts = append(opts, "tmpcopyup")
	}
	if mnt.Chown {
		opts = append(opts, "uid="+strconv.FormatUint(uint64(user.UID), 10), "gid="+strconv.FormatUint(uint64(user.GID), 10))
	}
	for _, o := range mnt.Options {
		if o != "bind" && o != "rbind" && o != "z" && o != "Z" {
			opts = append(opts, o)
		}
	}
	if mnt.ReadOnly {
		opts = append(opts, "ro")
	}
	return opts
}

// below shows mnt's subpath of dir. Links in it lead nowhere outside of dir.
func (m *mounter) below(mnt *spec.Mount, dir string) error {
	root, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := sys.PathInRoot(root, mnt.Subpath)
	if err != nil {
		return fmt.Errorf("subpath %s: %w", mnt.Subpath, err)
	}
	defer f.Close()
	tree, err := sys.CloneFrom(f)
	if err != nil {
		return err
	}
	m.give(mnt, tree)
	return nil
}

// overlay shows dir, with changes in the container's own directory.
func (m *mounter) overlay(mnt *spec.Mount, dir string, n int) error {
	own, err := m.own(n)
	if err != nil {
		return err
	}
	tree, err := m.e.Layers.Overlay(own, dir, m.c.Ephemeral())
	if err != nil {
		return fmt.Errorf("option O: %w", err)
	}
	m.give(mnt, tree)
	return nil
}

// own makes the container's directory for its mount number n.
func (m *mounter) own(n int) (string, error) {
	dir := filepath.Join(m.c.Dir(), "mounts", strconv.Itoa(n))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return dir, nil
}

// image shows another image.
func (m *mounter) image(mnt *spec.Mount, root *store.RootFS, n int) error {
	own, changes, err := "", "", error(nil)
	if !mnt.ReadOnly || mnt.Subpath != "" {
		if own, err = m.own(n); err != nil {
			return err
		}
	}
	if !mnt.ReadOnly {
		changes = own
	}
	tree, err := m.e.Layers.MountImage(mnt.ImageID, changes, m.c.Ephemeral())
	if errors.Is(err, store.ErrNotFound) {
		return problem.Hint(err, "run: nook pull %s", mnt.Source)
	}
	if err != nil {
		return err
	}
	root.Keep(tree) // the image must stay as long as the container runs
	if mnt.Subpath == "" {
		m.trees[path.Clean(mnt.Target)] = tree.Mount
		m.find(mnt.Target).Source = mnt.Source
		return nil
	}
	// Before Linux 6.15 a part of a mount can't be cloned while it is detached.
	view := filepath.Join(own, "view")
	if err := os.Mkdir(view, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := sys.AttachAt(tree.Mount, view); err != nil {
		return err
	}
	return errors.Join(m.below(mnt, view), sys.UnmountLazy(view))
}
