package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.podman.io/storage"
	drivers "go.podman.io/storage/drivers"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

// RootFS is the root file system of a container, mounted but attached nowhere.
// It ends with the last descriptor or mount namespace that has it, so there is
// nothing to unmount and nothing that a crash could leave.
type RootFS struct {
	Mount  *os.File // for move_mount(2); close-on-exec
	How    string   // HowOverlay, HowFuse or HowCopy
	Notice string   // what the user should know about it, or ""
	lease  *os.File // keeps the image
	kept   []*RootFS
}

// How a root file system was put together.
const (
	HowOverlay = "overlay"
	HowFuse    = "fuse-overlayfs"
	HowCopy    = "copy"
)

// Close gives the root up, once the container has ended.
func (r *RootFS) Close() error { return errors.Join(r.Mount.Close(), r.Release()) }

// Release gives up what keeps images from being removed. The mount is left to be closed,
// for which the kernel waits for RCU several times if it is the last one.
func (r *RootFS) Release() error {
	var errs []error
	if r.lease != nil {
		errs = append(errs, r.lease.Close())
	}
	for _, k := range r.kept {
		errs = append(errs, k.Close())
	}
	return errors.Join(errs...)
}

// Kept are descriptors that must stay open as long as the container runs, in a
// process that does nothing else with the root.
func (r *RootFS) Kept() []*os.File {
	var files []*os.File
	if r.lease != nil {
		files = append(files, r.lease)
	}
	for _, k := range r.kept {
		files = append(files, k.Kept()...)
	}
	return files
}

// layout is where a container's files are.
type layout struct {
	dir      string   // the layer's own directory
	lower    []string // uppermost first
	upper    string
	work     string
	merged   string
	volatile bool
	base     string  // below all, for the kernel's overlay; "": none
	maps     *idMaps // to be applied by fuse-overlayfs; nil: none
}

// RootFS mounts the container's root: by the kernel's overlay, else by
// fuse-overlayfs, else as a copy of all its files.
func (s *Store) RootFS(id string) (*RootFS, error) {
	l, err := s.layout(id)
	if err != nil {
		return nil, fmt.Errorf("root of container %s: %w", short(id), err)
	}
	root, err := s.mountRoot(l)
	if err != nil {
		return nil, fmt.Errorf("root of container %s: %w", short(id), err)
	}
	return root, nil
}

// mountRoot tries what the option nook.mount allows.
func (s *Store) mountRoot(l *layout) (*RootFS, error) {
	if s.Driver() == "vfs" { // the layer is all of it
		f, err := sys.CloneDir(l.upper)
		return rootOf(f, HowCopy, "", err)
	}
	mode := s.cfg.mount
	if mode == mountAuto && s.cfg.fuse != "" {
		mode = mountFuse
	}
	var errs []error
	if mode == mountOverlay || mode == mountAuto && l.maps == nil {
		f, err := s.mountKernel(l)
		if err == nil || mode == mountOverlay {
			return rootOf(f, HowOverlay, "", err)
		}
		if noSpace(err) {
			return nil, s.full(err)
		}
		errs = append(errs, err)
	}
	if mode != mountCopy {
		f, err := s.mountFuseAt(l)
		if err == nil || mode == mountFuse {
			return rootOf(f, HowFuse, "", err)
		}
		errs = append(errs, err)
	}
	if l.maps != nil {
		return nil, problem.Hint(fmt.Errorf("files with other owners: %w", errors.Join(errs...)), "install fuse-overlayfs, as it was when the container was made")
	}
	f, err := copyRoot(l)
	notice := "the root file system is a full copy, since neither the kernel's overlay nor fuse-overlayfs works here; install fuse-overlayfs to do without"
	if mode == mountCopy {
		notice = "the root file system is a full copy, as asked with nook.mount=copy"
	}
	return rootOf(f, HowCopy, notice, err)
}

// errNamedWhiteouts: the kernel would show what the image has removed.
var errNamedWhiteouts = errors.New("the layers of this store are for fuse-overlayfs: the kernel's overlay did not work when it was made")

// elsewhere is what always helps against errNamedWhiteouts.
const elsewhere = "get the images again elsewhere: nook --root DIR pull IMAGE"

func (s *Store) mountKernel(l *layout) (*os.File, error) {
	if s.namedWhiteouts() {
		return nil, problem.Hint(errNamedWhiteouts, "install fuse-overlayfs; or "+elsewhere)
	}
	return mountOverlayAt(l)
}

// namedWhiteouts reports whether a file that a layer removes is a file .wh.NAME there.
// containers/storage decides that when it first opens a root, by a mount that fails on
// old kernels, and where the root's path has a comma.
func (s *Store) namedWhiteouts() bool {
	text, err := os.ReadFile(filepath.Join(s.o.Root, s.cfg.driver, ".has-mount-program"))
	return err == nil && strings.TrimSpace(string(text)) == "true"
}

func rootOf(f *os.File, how, notice string, err error) (*RootFS, error) {
	if err != nil {
		return nil, err
	}
	return &RootFS{Mount: f, How: how, Notice: notice}, nil
}

// layout finds the directories of a container. The chain of layers is taken from
// their records, which are durable before anything names them, and not from the
// overlay driver's small files, which a power cut can empty.
func (s *Store) layout(id string) (*layout, error) {
	st := s.storage()
	c, err := st.Container(id)
	if err != nil {
		return nil, err
	}
	driver, err := st.GraphDriver()
	if err != nil {
		return nil, err
	}
	all, err := st.MultiList(storage.MultiListOptions{Layers: true})
	if err != nil {
		return nil, err
	}
	layers := make(map[string]*storage.Layer, len(all.Layers))
	for i := range all.Layers {
		layers[all.Layers[i].ID] = &all.Layers[i]
	}
	l := &layout{volatile: c.Flags["Volatile"] == true, dir: filepath.Join(s.o.Root, driver.String(), c.LayerID)}
	if driver.String() == "vfs" {
		l.upper = filepath.Join(s.o.Root, "vfs", "dir", c.LayerID)
		return l, nil
	}
	l.upper, l.work, l.merged = filepath.Join(l.dir, "diff"), filepath.Join(l.dir, "work"), filepath.Join(l.dir, "merged")
	own, ok := layers[c.LayerID]
	if !ok {
		return nil, fmt.Errorf("%w: layer %s is gone", ErrDamaged, short(c.LayerID))
	}
	lower, err := s.lowerDirs(driver, layers, own.Parent)
	if err != nil {
		return nil, err
	}
	l.lower = append(moreDiffs(l.upper), lower...)
	if flag, ok := c.Flags[flagMap].(string); ok {
		l.maps = &idMaps{}
		if err := json.Unmarshal([]byte(flag), l.maps); err != nil {
			return nil, fmt.Errorf("%w: id maps of the container: %w", ErrDamaged, err)
		}
	}
	return l, nil
}

func (s *Store) lowerDirs(driver drivers.Driver, layers map[string]*storage.Layer, id string) ([]string, error) {
	var lower []string
	for id != "" {
		l := layers[id]
		if l == nil {
			return nil, damagedLayer(id)
		}
		if len(lower) > maxLayers {
			return nil, fmt.Errorf("%w: layers form a circle", ErrDamaged)
		}
		dir := filepath.Join(s.o.Root, driver.String(), id, "diff")
		_, err := os.Lstat(dir)
		if err == nil && len(l.UIDMap) == 0 {
			lower, id = append(lower, dir), l.Parent
			continue // such a layer has one directory
		}
		// A layer of an additional store, or one with other owners: that lies on
		// top of its original, which its record does not name.
		meta, err := driver.Metadata(id)
		if err != nil || meta["UpperDir"] == "" {
			return nil, damagedLayer(id)
		}
		lower, id = append(append(lower, meta["UpperDir"]), moreDiffs(meta["UpperDir"])...), l.Parent
		if len(l.UIDMap) == 0 {
			continue
		}
		for _, dir := range filepath.SplitList(meta["LowerDir"]) {
			lower = append(append(lower, dir), moreDiffs(dir)...)
		}
		return lower, nil
	}
	return lower, nil
}

// moreDiffs finds the directories diff1, diff2 … beside a layer's diff. The overlay
// driver puts files there that it copied to give them other owners.
func moreDiffs(diff string) []string {
	var more []string
	for n := 1; ; n++ {
		dir := fmt.Sprintf("%s%d", diff, n)
		if _, err := os.Lstat(dir); err != nil {
			return more
		}
		more = append(more, dir)
	}
}

func damagedLayer(id string) error {
	return problem.Hint(fmt.Errorf("%w: layer %s is gone", ErrDamaged, short(id)), "remove the image with: nook rmi -f IMAGE; and get it again")
}

// syncLayer makes the new, nearly empty layer of a container durable: its
// directory, its small files and its name.
func (s *Store) syncLayer(layerID string) error {
	home := filepath.Join(s.o.Root, s.Driver())
	dir := filepath.Join(home, layerID)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil //nolint:nilerr // vfs has another layout, and no small files
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, e.Name()), os.O_RDONLY, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return errors.Join(syncDir(dir), syncDir(home))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// mountOverlayAt mounts by the kernel's overlay. A volatile upper directory that
// was mounted before has a mark that forbids to use it again, since a power cut
// in between could have damaged it; these directories do not outlive the boot
// (overlayfs.rst, "Volatile mount").
func mountOverlayAt(l *layout) (*os.File, error) {
	if l.volatile {
		if err := os.RemoveAll(filepath.Join(l.work, "work", "incompat")); err != nil {
			return nil, err
		}
	}
	lower := l.lower
	if l.base != "" {
		lower = append(slices.Clip(lower), l.base)
	}
	if len(lower) == 0 { // an image without layers
		empty := filepath.Join(l.dir, "empty")
		if err := os.Mkdir(empty, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
		lower = []string{empty}
	}
	return sys.MountOverlay(sys.Overlay{
		Lower: lower, Upper: l.upper, Work: l.work,
		Volatile: l.volatile, UserXattr: true, Scratch: l.merged,
	})
}

// BindRoot returns a detached mount of a host directory and of all that is
// mounted below it, for a container without an image.
func BindRoot(dir string) (*os.File, error) {
	fi, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("root file system: %w", err)
	}
	if !fi.IsDir() {
		return nil, fmt.Errorf("root file system %s: not a directory", dir)
	}
	return sys.CloneDirs(dir)
}
