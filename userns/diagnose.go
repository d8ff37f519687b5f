package userns

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/problem"
)

// Causes that Diagnose and Problems tell apart. Every error that wraps one
// carries a hint with the command that helps.
var (
	ErrNoRange         = errors.New("no subordinate ids")
	ErrHelperMissing   = errors.New("not installed")
	ErrHelperNoPriv    = errors.New("neither set-user-id root nor file capabilities")
	ErrHelperNoSUID    = errors.New("on a file system mounted nosuid")
	ErrHelperRefused   = errors.New("refused the subordinate ids")
	ErrNoNewPrivs      = errors.New("no_new_privs is set on this process, so newuidmap and newgidmap have no effect")
	ErrGroup           = errors.New("the current group is not the user's primary group, which newgidmap demands")
	ErrOutsideParent   = errors.New("not mapped in the user namespace that this process is in")
	ErrCloneDisabled   = errors.New("unprivileged user namespaces are disabled (kernel.unprivileged_userns_clone=0)")
	ErrUserNSDisabled  = errors.New("user namespaces are disabled (user.max_user_namespaces=0)")
	ErrMountNSDisabled = errors.New("mount namespaces are disabled (user.max_mnt_namespaces=0)")
	ErrUserNSLimit     = errors.New("too many user or mount namespaces, or too deeply nested")
	ErrAppArmor        = errors.New("AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns=1)")
	ErrSeccomp         = errors.New("a seccomp filter forbids user namespaces")
	ErrChroot          = errors.New("not allowed inside a chroot")
	ErrUnmappedSelf    = errors.New("this process's own ids are not mapped in its user namespace")
	ErrNoKernelSupport = errors.New("this kernel has no user namespaces")
)

// A Failure is what went wrong: the step, in the words of NSForkError or the
// name of a helper, the kernel's answer, and what the helper printed.
type Failure struct {
	Step   string
	Err    error
	Output string
}

func (f Failure) Error() string {
	if f.Output != "" {
		return f.Step + ": " + f.Output
	}
	return fmt.Sprintf("%s: %v", f.Step, f.Err)
}

func (f Failure) helper() bool { return f.Step == "newuidmap" || f.Step == "newgidmap" }

// Diagnose names the cause of fail. It is pure: the facts decide, and the text
// of fail only where they leave something open.
func Diagnose(f Facts, fail Failure) error {
	if fail.helper() {
		return diagnoseHelper(f, fail)
	}
	if err := f.cloneProblem(fail.Err); err != nil {
		return fmt.Errorf("user namespace: %w", err)
	}
	return problem.Hint(fmt.Errorf("user namespace: %w", fail), "compare: unshare --user --mount true")
}

// Problems lists everything in f that keeps the user from a user namespace with
// a full range of ids; empty means that nothing is known to be in the way.
func (f Facts) Problems() []error {
	var all []error
	if err := f.cloneProblem(nil); err != nil {
		all = append(all, err)
	}
	if f.privileged() {
		return all
	}
	if len(f.SubIDs.UIDs)+len(f.SubIDs.GIDs) == 0 {
		return append(all, f.noRange())
	}
	if _, err := PlanMap(f.Identity, f.SubIDs); err != nil {
		all = append(all, err)
	}
	for _, name := range []string{"newuidmap", "newgidmap"} {
		if err := f.helperProblem(name); err != nil && !slices.ContainsFunc(all, func(e error) bool { return e.Error() == err.Error() }) {
			all = append(all, err)
		}
	}
	return all
}

// privileged reports whether the process may work in the namespace that it is
// in, so that none needs to be made.
func (f Facts) privileged() bool { return f.UID == 0 && f.Caps&(1<<capSysAdmin) != 0 }

const capSysAdmin = 21 // capabilities(7)

// cloneProblem explains why clone(2) says no. With a nil cause it returns only
// what is certain to.
func (f Facts) cloneProblem(cause error) error {
	switch {
	case f.MaxUserNS == 0:
		return problem.Hint(ErrUserNSDisabled, "run: %s", persist("user.max_user_namespaces=28633"))
	case f.MaxMountNS == 0:
		return problem.Hint(ErrMountNSDisabled, "run: %s", persist("user.max_mnt_namespaces=28633"))
	case f.UnprivilegedClone == 0 && !f.privileged():
		return problem.Hint(ErrCloneDisabled, "run: %s", persist("kernel.unprivileged_userns_clone=1"))
	case f.AppArmorRestrict > 0 && f.appArmorConfines() && !f.privileged():
		return problem.Hint(ErrAppArmor, "run: %s", f.appArmorProfile())
	case !f.Map.HasUID(f.UID) || !f.Map.HasGID(f.GID):
		return problem.Hint(fmt.Errorf("%w: uid %d, gid %d", ErrUnmappedSelf, f.UID, f.GID),
			"start the surrounding container or namespace with this user and group mapped")
	case f.Chroot:
		return problem.Hint(ErrChroot, "leave the chroot, or enter it with: sudo unshare --mount --root=DIR")
	}
	return f.answerProblem(cause)
}

// answerProblem explains what clone(2) answered where no setting forbids it.
func (f Facts) answerProblem(cause error) error {
	switch {
	case errors.Is(cause, syscall.ENOSPC), errors.Is(cause, syscall.EUSERS):
		return problem.Hint(fmt.Errorf("%w: user.max_user_namespaces=%d", ErrUserNSLimit, f.MaxUserNS),
			"run: lsns -t user, and end what is not needed; or: %s", persist(fmt.Sprintf("user.max_user_namespaces=%d", max(2*f.MaxUserNS, 28633))))
	case errors.Is(cause, syscall.EINVAL):
		return problem.Hint(ErrNoKernelSupport, "use a kernel with CONFIG_USER_NS=y")
	case f.Seccomp && (errors.Is(cause, syscall.EPERM) || errors.Is(cause, syscall.ENOSYS)):
		return problem.Hint(ErrSeccomp, "start the surrounding container with: --security-opt seccomp=unconfined")
	}
	return nil
}

// persist is the command that sets a sysctl now and at every boot.
func persist(setting string) string {
	return fmt.Sprintf("echo %s | sudo tee -a /etc/sysctl.d/99-nook.conf && sudo sysctl -p /etc/sysctl.d/99-nook.conf", setting)
}

// appArmorConfines reports whether the restriction hits this program: a profile
// of its own lifts it, and then the label is not "unconfined".
func (f Facts) appArmorConfines() bool {
	return f.AppArmorLabel == "unconfined" || strings.HasPrefix(f.AppArmorLabel, "unprivileged_userns")
}

// appArmorProfile is the command that gives this program the profile that
// Ubuntu gives its own tools (apparmor.d(5), "userns").
func (f Facts) appArmorProfile() string {
	return fmt.Sprintf(`printf 'abi <abi/4.0>,\ninclude <tunables/global>\nprofile nook "%s" flags=(unconfined) {\n  userns,\n}\n' `+
		"| sudo tee /etc/apparmor.d/nook && sudo apparmor_parser -r /etc/apparmor.d/nook", f.Exe)
}

func diagnoseHelper(f Facts, fail Failure) error {
	if err := f.helperProblem(fail.Step); err != nil {
		return fmt.Errorf("map ids: %w", err)
	}
	k, ranges := uids, f.SubIDs.UIDs
	if fail.Step == "newgidmap" {
		k, ranges = gids, f.SubIDs.GIDs
	}
	if strings.Contains(fail.Output, "not allowed") {
		return problem.Hint(fmt.Errorf("map ids: %s: %w %v: %s", fail.Step, ErrHelperRefused, ranges, fail.Output),
			"compare: getsubids %s%s; grep -H . %s; grep subid /etc/nsswitch.conf", map[kind]string{gids: "-g "}[k], f.name(), k.file())
	}
	return problem.Hint(fmt.Errorf("map ids: %w", fail), "compare: unshare --user --map-root-user --map-auto true")
}

// helperProblem says what keeps newuidmap or newgidmap from working.
func (f Facts) helperProblem(name string) error {
	h, k, ranges, m := f.NewUIDMap, uids, f.SubIDs.UIDs, f.Map.UIDs
	if name == "newgidmap" {
		h, k, ranges, m = f.NewGIDMap, gids, f.SubIDs.GIDs, f.Map.GIDs
	}
	switch {
	case h.Path == "":
		return problem.Hint(fmt.Errorf("%s: %w", name, ErrHelperMissing), "run: %s", installHelpers(f.Distro))
	case f.NoNewPrivs:
		return problem.Hint(ErrNoNewPrivs,
			"start nook outside of what set it (setpriv --no-new-privs, NoNewPrivileges=yes in a unit, a container's no-new-privileges)")
	case h.NoSUID:
		return problem.Hint(fmt.Errorf("%s: %w", h.Path, ErrHelperNoSUID), "run: sudo mount -o remount,suid \"$(findmnt -nro TARGET -T %s)\"", h.Path)
	case !h.Setuid && !h.FileCaps:
		return problem.Hint(fmt.Errorf("%s: %w", h.Path, ErrHelperNoPriv), "run: sudo chown root: %s && sudo chmod u+s %s", h.Path, h.Path)
	case f.PrimaryGID >= 0 && f.PrimaryGID != int64(f.GID):
		return problem.Hint(fmt.Errorf("%w: %d instead of %d", ErrGroup, f.GID, f.PrimaryGID),
			"run nook outside of newgrp and sg, or first: newgrp \"$(id -gn %s)\"", f.name())
	}
	for _, r := range ranges {
		if !covers(m, r) {
			return f.outsideParent(k, r)
		}
	}
	return nil
}

func (f Facts) outsideParent(k kind, r Range) error {
	err := fmt.Errorf("%s range %d:%d: %w", k, r.Start, r.Count, ErrOutsideParent)
	if f.Free.Count == 0 {
		return problem.Hint(err, "start the surrounding container with more ids mapped")
	}
	return problem.Hint(err, "run: sudo usermod --del-sub%ss %d-%d --add-sub%ss %d-%d %s",
		k, r.Start, r.end()-1, k, f.Free.Start, f.Free.end()-1, f.name())
}

func (f Facts) noRange() error {
	return problem.Hint(fmt.Errorf("%s: %w", f.name(), ErrNoRange), "run: %s", addRange(f.Identity, f.Free))
}

// addRange is the command that gives the user the range r.
func addRange(id Identity, r Range) string {
	if r.Count == 0 {
		return "sudoedit /etc/login.defs  # no range is free: raise SUB_UID_MAX and SUB_GID_MAX"
	}
	if !id.Local { // usermod(8) knows /etc/passwd only
		return fmt.Sprintf("echo %s:%d:%d | sudo tee -a /etc/subuid /etc/subgid", id.name(), r.Start, r.Count)
	}
	return fmt.Sprintf("sudo usermod --add-subuids %d-%d --add-subgids %d-%d %s",
		r.Start, r.end()-1, r.Start, r.end()-1, id.name())
}

// installHelpers is the command that installs newuidmap and newgidmap; distro is
// as in Facts.
func installHelpers(distro string) string {
	for id := range strings.FieldsSeq(distro) {
		switch id {
		case "debian", "ubuntu":
			return "sudo apt-get install uidmap"
		case "fedora", "rhel", "centos":
			return "sudo dnf install shadow-utils"
		case "arch":
			return "sudo pacman -S shadow"
		case "alpine":
			return "sudo apk add shadow-uidmap"
		case "suse", "opensuse", "opensuse-leap", "opensuse-tumbleweed", "sles":
			return "sudo zypper install shadow"
		}
	}
	return "install newuidmap and newgidmap, which are part of shadow (package uidmap, shadow or shadow-utils)"
}
