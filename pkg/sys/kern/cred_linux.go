package kern

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The raw calls below change the calling thread only: Go's own wrappers change
// every thread, which init, about to execve from one, has no use for.

func errnoErr(e unix.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

// SetGroups sets the supplementary groups of the thread.
func SetGroups(gids []uint32) error {
	var p unsafe.Pointer
	if len(gids) > 0 {
		p = unsafe.Pointer(&gids[0])
	}
	_, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(gids)), uintptr(p), 0)
	return errnoErr(e)
}

// SetGID sets the real, effective and saved group id of the thread.
func SetGID(gid uint32) error {
	_, _, e := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid))
	return errnoErr(e)
}

// SetUID sets the real, effective and saved user id of the thread.
func SetUID(uid uint32) error {
	_, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
	return errnoErr(e)
}

// KeepCaps makes the permitted set survive the next change of user id.
func KeepCaps() error { return unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0) }

// CapSets are bit masks; bit N is capability N (capabilities(7)).
type CapSets struct{ Bounding, Effective, Permitted, Inheritable, Ambient uint64 }

// DropBounding removes from the bounding set what keep lacks.
func DropBounding(keep uint64) error {
	for c := range uint(64) {
		if keep&(1<<c) != 0 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return nil // beyond the last capability that this kernel knows
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// SetCaps sets the thread's effective, permitted, inheritable and ambient sets.
func SetCaps(s CapSets) error {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	d := [2]unix.CapUserData{
		{Effective: uint32(s.Effective), Permitted: uint32(s.Permitted), Inheritable: uint32(s.Inheritable)},
		{Effective: uint32(s.Effective >> 32), Permitted: uint32(s.Permitted >> 32), Inheritable: uint32(s.Inheritable >> 32)},
	}
	if err := unix.Capset(&h, &d[0]); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	for c := range uint(64) {
		if s.Ambient&(1<<c) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// PermittedCaps returns the thread's permitted set.
func PermittedCaps() (uint64, error) {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	if err := unix.Capget(&h, &d[0]); err != nil {
		return 0, err
	}
	return uint64(d[1].Permitted)<<32 | uint64(d[0].Permitted), nil
}

// NoNewPrivs keeps this process and its children from gaining privileges
// (PR_SET_NO_NEW_PRIVS).
func NoNewPrivs() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }

// HideFromPtrace also gives /proc/PID to root of the user namespace, and lasts
// until execve (PR_SET_DUMPABLE).
func HideFromPtrace() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// DieWithParent is undone by the kernel whenever credentials change
// (PR_SET_PDEATHSIG).
func DieWithParent() error { return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0) }

// Personality sets the execution domain (personality(2)).
func Personality(p uint32) error {
	_, _, e := unix.RawSyscall(unix.SYS_PERSONALITY, uintptr(p), 0, 0)
	return errnoErr(e)
}

// LoadSeccomp installs a filter of 8-byte struct sock_filter for the thread.
// Without NoNewPrivs it needs CAP_SYS_ADMIN in the user namespace.
func LoadSeccomp(filter []byte, flags uint) error {
	if len(filter) == 0 || len(filter)%8 != 0 {
		return unix.EINVAL
	}
	prog := struct {
		len  uint16
		prog unsafe.Pointer
	}{uint16(len(filter) / 8), unsafe.Pointer(&filter[0])}
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(flags), uintptr(unsafe.Pointer(&prog)))
	return errnoErr(e)
}

// AdoptOrphans makes this process the parent of descendants that lose theirs. It
// lasts over execve.
func AdoptOrphans() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }
