package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/oci/seed"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/userns"
)

// User namespaces that somebody else made, and that are found at a path. Which ids
// one has must be known before the container's files are made; whoever reads its
// map has to find a process in it, so one is started there.

// lookIntoUserNS puts the ids of the namespace at u.Path into u. If it is the one
// that all containers share, u is that.
func lookIntoUserNS(u *spec.UserNS) error {
	f, current, err := openUserNS(u.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if current {
		*u = spec.UserNS{Mode: spec.UserNSHost}
		return nil
	}
	ids, err := idsOf(f)
	if err != nil {
		return fmt.Errorf("--userns ns:%s: %w", u.Path, err)
	}
	u.UIDMap, u.GIDMap = listed(ids.UIDs), listed(ids.GIDs)
	return nil
}

// openUserNS opens the user namespace at path, which can be joined; current means
// that this process is in it.
func openUserNS(path string) (f *os.File, current bool, err error) {
	f, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe is no namespace, and none to wait for
	if err == nil {
		if current, err = userns.Relate(f); err != nil {
			f.Close()
		}
	}
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, userns.ErrOutside): // /proc shows what is below this process's
		err = problem.Hint(fmt.Errorf("--userns ns:%s: %w", path, userns.ErrOutside),
			"make one there: nook unshare unshare --user --map-root-user COMMAND; its path is /proc/PID/ns/user")
	case err != nil:
		err = fmt.Errorf("--userns ns:%s: %w", path, cause(err))
	}
	return f, current, err
}

// cause is err without the path that it names.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// idsOf reads the map of a namespace below.
func idsOf(ns *os.File) (userns.Map, error) {
	runtime.LockOSThread() // the process ends with it
	defer runtime.UnlockOSThread()
	s, err := seed.Sow(0, []sys.Namespace{{File: ns, Type: sys.NewUser}}, nil) // for its map alone
	if failed, ok := errors.AsType[*sys.NSForkError](err); ok && failed.Err == syscall.EINVAL {
		return userns.Map{}, userns.ErrNoRoot
	}
	if err != nil {
		return userns.Map{}, err
	}
	m, err := userns.Of(s.PID())
	return m, errors.Join(err, s.Close())
}

// openUserNS opens the namespace at the path that the request names.
func (j *joined) openUserNS() error {
	u := j.spec.UserNS
	f, current, err := openUserNS(u.Path)
	if err != nil {
		return err
	}
	j.files = append(j.files, f)
	changed := current
	if !current {
		ids, err := idsOf(f)
		if err != nil {
			return fmt.Errorf("--userns ns:%s: %w", u.Path, err)
		}
		changed = !slices.Equal(ids.UIDs, extents(u.UIDMap)) || !slices.Equal(ids.GIDs, extents(u.GIDMap))
	}
	if changed {
		return problem.Hint(fmt.Errorf("--userns ns:%s: it has other ids than when the container was made", u.Path),
			"make the container again; its files have owners of those ids")
	}
	j.namespaces = append(j.namespaces, specs.LinuxNamespace{
		Type: specs.UserNamespace, Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()),
	})
	return nil
}

func listed(m []userns.Extent) []spec.IDMapping {
	var out []spec.IDMapping
	for _, e := range m {
		out = append(out, spec.IDMapping{Inside: e.Inside, Outside: e.Outside, Size: e.Size})
	}
	return out
}

// extents is listed the other way round.
func extents(list []spec.IDMapping) []userns.Extent {
	var out []userns.Extent
	for _, m := range list {
		out = append(out, userns.Extent{Inside: m.Inside, Outside: m.Outside, Size: m.Size})
	}
	return out
}
