package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/nook-containers/nook/pkg/doctor"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/problem/remedy"
	"github.com/nook-containers/nook/pkg/sys"
)

// Names of the checks.
const (
	checkOwners  = "file-owners"
	checkOverlay = "overlay"
	checkFuse    = "fuse"
)

// ExamineFuse is what "nook doctor" says about fuse-overlayfs, which matters where
// overlay says no.
func ExamineFuse(h *doctor.Host) []doctor.Result {
	const means = "Where the kernel's overlay cannot be used (NFS, an encrypted home, some containers), each container is a full copy of its image."
	exists, allowed := h.MayOpen("/dev/fuse")
	r := doctor.Result{Check: checkFuse, Level: doctor.OK, Means: means}
	switch {
	case !exists:
		r.Level, r.Found, r.Fix = doctor.Warning, "/dev/fuse is missing", remedy.Module("fuse")
	case !allowed:
		r.Level, r.Found, r.Fix = doctor.Warning, "/dev/fuse is not yours to open", "sudo chmod 666 /dev/fuse"
	case h.Find("fuse-overlayfs") == "":
		r = doctor.FromError(checkFuse, doctor.OK, remedy.MissingOn(errNoFuse, h.Distro(), remedy.FuseOverlayfs()), means)
	default:
		return []doctor.Result{doctor.Fine(checkFuse, "%s", h.Find("fuse-overlayfs"))}
	}
	return []doctor.Result{r}
}

// Examine tries what the store does with the file system that dir is on, in a
// directory of its own below dir. It works only inside the user's namespace.
func Examine(dir string) []doctor.Result {
	tmp, err := os.MkdirTemp(dir, ".nook-doctor-")
	if err != nil {
		return []doctor.Result{doctor.FromError(checkOverlay, doctor.Problem, err, "No image can be stored.")}
	}
	defer os.RemoveAll(tmp)
	d, err := sys.DiskOf(dir)
	if err != nil {
		return []doctor.Result{doctor.FromError(checkOverlay, doctor.Problem, err, "No image can be stored.")}
	}
	if err := tryOwners(tmp); err != nil {
		err = problem.Hint(fmt.Errorf("files on %s cannot get other owners: %w", d.Name, bare(err)), "keep images elsewhere, as on a local disk: nook --root DIR")
		return []doctor.Result{doctor.FromError(checkOwners, doctor.Problem, err, "Most images cannot be stored.")}
	}
	return []doctor.Result{doctor.Fine(checkOwners, "files on %s can have them", d.Name), examineMounts(tmp, d.Name)}
}

// examineMounts tries the ways to mount a root, in the store's order.
func examineMounts(tmp, fsName string) doctor.Result {
	err := tryMount(tmp, HowOverlay, mountOverlayAt)
	if err == nil {
		return doctor.Fine(checkOverlay, "the kernel's, on %s", fsName)
	}
	found := fmt.Errorf("the kernel's overlay does not work on %s: %w", fsName, bare(err))
	s := &Store{o: Options{RunRoot: tmp}}
	ferr := tryMount(tmp, HowFuse, s.mountFuseAt)
	if ferr == nil {
		return doctor.Result{
			Check: checkOverlay, Level: doctor.Warning, Found: found.Error(),
			Means:  "Containers use fuse-overlayfs, whose files are slower.",
			Advice: "keep images on ext4, xfs or btrfs: nook --root DIR",
		}
	}
	found = fmt.Errorf("%w; nor does fuse-overlayfs: %w", found, ferr)
	if command := problem.CommandOf(ferr); command != "" {
		found = problem.Run(found, command)
	} else {
		found = problem.Hint(found, "keep images on ext4, xfs or btrfs: nook --root DIR")
	}
	return doctor.FromError(checkOverlay, doctor.Warning, found, "Each container is a full copy of its image: starting one takes seconds, and as much disk again.")
}

// tryOwners gives a file away to every kind of id, as unpacking an image does.
func tryOwners(tmp string) error {
	path := filepath.Join(tmp, "owned")
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	err := os.Chown(path, 1, 1)
	if errors.Is(err, syscall.EINVAL) { // id 1 is not mapped: the user has no ids to give
		return nil
	}
	return err
}

// tryMount mounts two layers and does in them what containers do.
func tryMount(tmp, name string, mount func(*layout) (*os.File, error)) error {
	dir := filepath.Join(tmp, name)
	l := &layout{
		dir: dir, lower: []string{filepath.Join(dir, "lower")}, upper: filepath.Join(dir, "upper"),
		work: filepath.Join(dir, "work"), merged: filepath.Join(dir, "merged"),
	}
	for _, d := range []string{l.lower[0] + "/below", l.upper, l.work, l.merged} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	m, err := mount(l)
	if err != nil {
		return err
	}
	defer m.Close()
	at := "/proc/self/fd/" + strconv.Itoa(int(m.Fd()))
	return errors.Join(
		os.Remove(at+"/below"),       // which a whiteout does
		os.Mkdir(at+"/below", 0o755), // an opaque directory
		os.Mkdir(at+"/above", 0o755),
		os.Rename(at+"/above", at+"/moved"),
	)
}

// bare is err without paths, which lie in a directory that is gone by now.
func bare(err error) error {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e
	}
	return err
}
