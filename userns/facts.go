package userns

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/problem/remedy"
	"github.com/nook-containers/nook/pkg/sys"
)

// Facts are what decides whether this user can have a user namespace. Collect
// reads them; Diagnose and Problems, which are pure, judge them.
type Facts struct {
	Identity
	PrimaryGID int64 // of passwd(5); -1 where the user is not in it

	Map        Map    // of the namespace that this process is in
	Caps       uint64 // effective capabilities, bit per number (capabilities(7))
	NoNewPrivs bool   // prctl(2), PR_SET_NO_NEW_PRIVS
	Seccomp    bool   // a seccomp filter is in force
	Chroot     bool   // the root directory is not the mount namespace's

	SubIDs               SubIDs
	Clashes              []Clash
	Free                 Range // could be given to the user; Count 0 where none is free
	NewUIDMap, NewGIDMap Helper

	// Sysctls; -1 where the kernel does not have them.
	UnprivilegedClone int64 // kernel.unprivileged_userns_clone (Debian, Arch)
	MaxUserNS         int64 // user.max_user_namespaces
	MaxMountNS        int64 // user.max_mnt_namespaces
	AppArmorRestrict  int64 // kernel.apparmor_restrict_unprivileged_userns (Ubuntu)

	AppArmorLabel string // of this process; "" without AppArmor
	Distro        string // ID and ID_LIKE of os-release(5), separated by blanks
	Exe           string // this program
}

// A Helper is newuidmap or newgidmap as found on disk.
type Helper struct {
	Path     string // "" where it is missing
	Setuid   bool   // set-user-id bit, and the owner is root
	FileCaps bool   // security.capability
	NoSUID   bool   // on a mount that takes away both
}

// Collect reads the facts.
func (h Host) Collect() (Facts, error) {
	f := Facts{UnprivilegedClone: -1, MaxUserNS: -1, MaxMountNS: -1, AppArmorRestrict: -1}
	var err error
	f.Identity, f.PrimaryGID, err = h.user(uint32(os.Geteuid()), uint32(os.Getegid()))
	if err != nil {
		return f, err
	}
	if f.Map, err = h.currentMap(); err != nil {
		return f, err
	}
	status, err := h.read("/proc/self/status")
	if err != nil {
		return f, err
	}
	f.Caps = statusNumber(status, "CapEff", 16)
	f.NoNewPrivs = statusNumber(status, "NoNewPrivs", 10) != 0
	f.Seccomp = statusNumber(status, "Seccomp", 10) == 2
	if f.SubIDs, err = h.subIDs(f.Identity); err != nil {
		return f, err
	}
	if f.Clashes, err = h.clashes(f.Identity, f.SubIDs); err != nil {
		return f, err
	}
	f.Free, _ = h.freeRange(f.Identity, f.Map)
	for name, to := range map[string]*Helper{"newuidmap": &f.NewUIDMap, "newgidmap": &f.NewGIDMap} {
		if *to, err = h.helper(name); err != nil {
			return f, err
		}
	}
	return f, h.collectKernel(&f)
}

func (h Host) collectKernel(f *Facts) error {
	for path, to := range map[string]*int64{
		"/proc/sys/kernel/unprivileged_userns_clone":             &f.UnprivilegedClone,
		"/proc/sys/user/max_user_namespaces":                     &f.MaxUserNS,
		"/proc/sys/user/max_mnt_namespaces":                      &f.MaxMountNS,
		"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": &f.AppArmorRestrict,
	} {
		text, err := h.read(path)
		if n, perr := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil && perr == nil {
			*to = n
		}
	}
	mounts, err := h.read("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	f.Chroot = mounts != "" && !mountedAtRoot(mounts)
	if label, err := h.read("/proc/self/attr/apparmor/current"); err == nil { // else there is no AppArmor
		f.AppArmorLabel = strings.TrimSpace(strings.TrimRight(label, "\x00"))
	}
	osr, err := h.osRelease()
	if err != nil {
		return err
	}
	f.Distro = remedy.Distro(osr)
	f.Exe, err = os.Executable()
	return err
}

// osRelease reads os-release(5) from the first of its two places.
func (h Host) osRelease() (string, error) {
	text, err := h.read("/etc/os-release")
	if err == nil && text == "" {
		text, err = h.read("/usr/lib/os-release")
	}
	return text, err
}

func (h Host) helper(name string) (Helper, error) {
	p := h.find(name)
	if p == "" {
		return Helper{}, nil
	}
	real := h.path(p)
	fi, err := os.Stat(real)
	if errors.Is(err, fs.ErrNotExist) {
		return Helper{}, nil // removed since
	} else if err != nil {
		return Helper{}, err
	}
	nosuid, err := sys.NoSUID(real)
	st, ok := fi.Sys().(*syscall.Stat_t)
	return Helper{
		Path:     filepath.Clean(p),
		Setuid:   fi.Mode()&os.ModeSetuid != 0 && ok && st.Uid == 0,
		FileCaps: sys.HasFileCaps(real),
		NoSUID:   nosuid,
	}, err
}

// statusNumber returns a field of proc_pid_status(5), 0 where it is missing.
func statusNumber(status, key string, base int) uint64 {
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(v), base, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// mountedAtRoot reports whether proc_pid_mountinfo(5) has a mount at "/": it
// shows mounts below the root directory of the process only, so a chroot(2) into
// a plain directory has none.
func mountedAtRoot(mountinfo string) bool {
	for line := range strings.Lines(mountinfo) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == "/" {
			return true
		}
	}
	return false
}
