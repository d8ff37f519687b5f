package userns

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/problem/remedy"
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
	ErrProfile         = errors.New("the AppArmor profile of this process forbids user namespaces")
	ErrSecurityModule  = errors.New("a security module of the kernel forbids user namespaces")
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
	if fail.Step == "clone" && errors.Is(fail.Err, syscall.EACCES) {
		return fmt.Errorf("user namespace: %w", f.moduleProblem())
	}
	return problem.Hint(fmt.Errorf("user namespace: %w", fail), "compare: unshare --user --mount true")
}

// moduleProblem names who answers clone(2) with EACCES: the kernel itself never
// does (clone(2)), only its security modules.
func (f Facts) moduleProblem() error {
	if f.AppArmorLabel == "" || f.AppArmorLabel == "unconfined" {
		return problem.Hint(ErrSecurityModule, "look for which, and what it reports: cat /sys/kernel/security/lsm; sudo journalctl -k -g denied")
	}
	return problem.Hint(fmt.Errorf("%w: %s", ErrProfile, f.AppArmorLabel),
		`in the file of /etc/apparmor.d that has this profile, add the rule "userns,"; then: sudo apparmor_parser -r FILE`)
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
	err := f.rangeProblem()
	if err != nil {
		all = append(all, err)
	}
	if errors.Is(err, ErrNoRange) { // then nothing needs the helpers
		return all
	}
	return append(all, f.helperProblems()...)
}

// rangeProblem says what is wrong with the subordinate ids.
func (f Facts) rangeProblem() error {
	if len(f.SubIDs.UIDs)+len(f.SubIDs.GIDs) == 0 {
		return f.noRange()
	}
	_, err := PlanMap(f.Identity, f.SubIDs)
	return err
}

// helperProblems says what keeps the helpers from working, each cause once.
func (f Facts) helperProblems() []error {
	var all []error
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
		return problem.Run(ErrUserNSDisabled, remedy.Sysctl("user.max_user_namespaces", "28633"))
	case f.MaxMountNS == 0:
		return problem.Run(ErrMountNSDisabled, remedy.Sysctl("user.max_mnt_namespaces", "28633"))
	case f.UnprivilegedClone == 0 && !f.privileged():
		return problem.Run(ErrCloneDisabled, remedy.Sysctl("kernel.unprivileged_userns_clone", "1"))
	case f.AppArmorRestrict > 0 && f.appArmorConfines() && !f.privileged():
		return problem.Run(ErrAppArmor, loadProfile(f.Exe))
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
			"run: lsns -t user, and end what is not needed; or: %s", remedy.Sysctl("user.max_user_namespaces", strconv.FormatInt(max(2*f.MaxUserNS, 28633), 10)))
	case errors.Is(cause, syscall.EINVAL):
		return problem.Hint(ErrNoKernelSupport, "use a kernel with CONFIG_USER_NS=y")
	case f.Seccomp && (errors.Is(cause, syscall.EPERM) || errors.Is(cause, syscall.ENOSYS)):
		return problem.Hint(ErrSeccomp, "start the surrounding container with: --security-opt seccomp=unconfined")
	}
	return nil
}

// appArmorConfines reports whether the restriction hits this program: a profile
// of its own lifts it, and then the label is not "unconfined".
func (f Facts) appArmorConfines() bool {
	return f.AppArmorLabel == "unconfined" || strings.HasPrefix(f.AppArmorLabel, "unprivileged_userns")
}

// AppArmorProfile lifts the restriction for the program at path, as Ubuntu does it
// for its own tools (apparmor.d(5), "userns").
func AppArmorProfile(path string) string {
	return "abi <abi/4.0>,\ninclude <tunables/global>\nprofile nook \"" + path + "\" flags=(unconfined) {\n  userns,\n}\n"
}

const profileFile = "/etc/apparmor.d/nook"

// loadProfile is the command that installs and loads the profile.
func loadProfile(path string) string {
	text := strings.ReplaceAll(AppArmorProfile(strings.ReplaceAll(path, "%", "%%")), "\n", `\n`)
	return "printf " + remedy.Quote(text) + " | sudo tee " + profileFile + " && sudo apparmor_parser -r " + profileFile
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
		return remedy.MissingOn(fmt.Errorf("%s: %w", name, ErrHelperMissing), f.Distro, remedy.UIDMap())
	case f.NoNewPrivs:
		return problem.Hint(ErrNoNewPrivs,
			"start nook outside of what set it (setpriv --no-new-privs, NoNewPrivileges=yes in a unit, a container's no-new-privileges)")
	case h.NoSUID:
		return problem.Run(fmt.Errorf("%s: %w", h.Path, ErrHelperNoSUID), "sudo mount -o remount,suid \"$(findmnt -nro TARGET -T "+h.Path+")\"")
	case !h.Setuid && !h.FileCaps:
		return problem.Run(fmt.Errorf("%s: %w", h.Path, ErrHelperNoPriv), "sudo chown root: "+h.Path+" && sudo chmod u+s "+h.Path)
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
	return problem.Run(err, fmt.Sprintf("sudo usermod --del-sub%ss %d-%d --add-sub%ss %d-%d %s",
		k, r.Start, r.end()-1, k, f.Free.Start, f.Free.end()-1, f.name()))
}

func (f Facts) noRange() error {
	return addRange(fmt.Errorf("%s: %w", f.name(), ErrNoRange), f.Identity, f.Free)
}

// addRange adds to err how the user gets the range r.
func addRange(err error, id Identity, r Range) error {
	command := addRangeCommand(id, r)
	if command == "" {
		return problem.Hint(err, "no range is free: raise SUB_UID_MAX and SUB_GID_MAX in /etc/login.defs")
	}
	return problem.Run(err, command)
}

// addRangeCommand is the command that gives the user the range r, "" where r is
// empty.
func addRangeCommand(id Identity, r Range) string {
	if r.Count == 0 {
		return ""
	}
	if !id.Local { // usermod(8) knows /etc/passwd only
		line := fmt.Sprintf("%s:%d:%d", id.name(), r.Start, r.Count)
		return fmt.Sprintf("for f in /etc/subuid /etc/subgid; do grep -qsx %s $f || echo %s | sudo tee -a $f; done", line, line)
	}
	return fmt.Sprintf("sudo usermod --add-subuids %d-%d --add-subgids %d-%d %s",
		r.Start, r.end()-1, r.Start, r.end()-1, id.name())
}
