package userns

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys"
)

// Errors of Relate.
var (
	// ErrNotUserNS means a file that is no user namespace.
	ErrNotUserNS = errors.New("not a user namespace")
	// ErrOutside means a user namespace in which this process has no rights: only
	// the one that it is in and those below are its own (user_namespaces(7)).
	ErrOutside = errors.New("not below the user namespace of your containers")
)

// Relate finds out whether this process can join the user namespace that ns is open
// on: current where it is the one that it is in already, else one below. Any other
// is ErrOutside.
func Relate(ns *os.File) (current bool, err error) {
	if _, err := sys.UserNSOwner(ns); err != nil {
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTTY) {
			err = ErrNotUserNS
		}
		return false, err
	}
	own, err := os.Stat("/proc/self/ns/user")
	if err != nil {
		return false, err
	}
	if same, err := sameNS(ns, own); same || err != nil {
		return same, err
	}
	for at := ns; ; {
		parent, err := sys.UserNSParent(at)
		if at != ns {
			at.Close()
		}
		if errors.Is(err, syscall.EPERM) { // out of sight
			return false, ErrOutside
		}
		if err != nil {
			return false, err
		}
		same, err := sameNS(parent, own)
		if same || err != nil {
			return false, errors.Join(err, parent.Close())
		}
		at = parent
	}
}

func sameNS(f *os.File, own os.FileInfo) (bool, error) {
	fi, err := f.Stat()
	return err == nil && os.SameFile(fi, own), err
}

// Of reads the map of the user namespace that process pid is in. Outside are ids of
// the one that this process is in, which is above it.
func Of(pid int) (m Map, err error) {
	proc := "/proc/" + strconv.Itoa(pid)
	if m.UIDs, err = (Host{}).readMap(proc + "/uid_map"); err == nil {
		m.GIDs, err = (Host{}).readMap(proc + "/gid_map")
	}
	if err != nil {
		return Map{}, fmt.Errorf("read the ids of a user namespace: %w", err)
	}
	return m, nil
}
