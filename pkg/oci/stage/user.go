package stage

import (
	"errors"
	"strconv"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// aboveHard is a limit that only real root could raise so far.
type aboveHard struct{ want, have uint64 }

func (e *aboveHard) Error() string {
	return "hard limit " + strconv.FormatUint(e.want, 10) + " is above this user's " + strconv.FormatUint(e.have, 10)
}

// errOutside is a working directory that a process of the container could not
// have named.
var errOutside = errors.New("is outside of the container's root")

// become turns this thread into what the command will be: terminal, working
// directory, user, capabilities. The order is the kernel's: a filter without
// no_new_privs wants CAP_SYS_ADMIN, the bounding set CAP_SETPCAP, and the
// permitted set survives the change of user only by KeepCaps.
func (s *setup) become() error {
	if err := s.stdio(); err != nil {
		return err
	}
	entered, err := s.chdir(false)
	if err != nil {
		return err
	}
	if err := s.arrange(); err != nil {
		return err
	}
	if len(s.Seccomp) > 0 && !s.Process.NoNewPrivs {
		if err := kern.LoadSeccomp(s.Seccomp, s.SeccompFlags); err != nil {
			return at("load", "seccomp filter", err)
		}
	}
	if err := s.credentials(); err != nil {
		return err
	}
	if !entered {
		if _, err := s.chdir(true); err != nil {
			return err
		}
	}
	if s.KillWithParent { // the kernel forgot it with the change of credentials
		if err := kern.DieWithParent(); err != nil {
			return at("arm", "parent-death signal", err)
		}
	}
	if s.Process.NoNewPrivs {
		return at("set", "no_new_privs", kern.NoNewPrivs())
	}
	return nil
}

func (s *setup) credentials() error {
	p := &s.Process
	if err := kern.DropBounding(p.Caps.Bounding); err != nil {
		return at("drop", "bounding capabilities", err)
	}
	if err := kern.KeepCaps(); err != nil {
		return at("keep", "capabilities", err)
	}
	if !p.KeepGroups {
		err := kern.SetGroups(p.Groups)
		if errors.Is(err, syscall.EPERM) && len(p.Groups) == 0 {
			err = nil // a map of one id forbids setgroups(2); there is nothing to set
		}
		if err != nil {
			return at("set", "supplementary groups", err)
		}
	}
	if err := kern.SetGID(p.GID); err != nil {
		return at("become", "gid "+strconv.FormatUint(uint64(p.GID), 10), explainID(err))
	}
	if err := kern.SetUID(p.UID); err != nil {
		return at("become", "uid "+strconv.FormatUint(uint64(p.UID), 10), explainID(err))
	}
	if err := kern.SetCaps(kern.CapSets(p.Caps)); err != nil {
		return at("set", "capabilities", err)
	}
	kern.Umask(p.Umask)
	return nil
}

func explainID(err error) error {
	if errors.Is(err, syscall.EINVAL) {
		return errors.New("not mapped in the container's user namespace")
	}
	return err
}

// stdio gives the command its terminal, or the right to reopen the pipes it was
// given: /dev/stdout leads to a new open(2) of the pipe, as the command's user.
func (s *setup) stdio() error {
	if s.peer == plan.NoFD {
		for fd := range 3 {
			if st, err := kern.Stat(fd); err == nil && kern.IsFIFO(st.Mode) && s.Process.UID != 0 {
				_ = kern.Chown(fd, int(s.Process.UID), -1) // someone else's pipe stays so
			}
		}
		return nil
	}
	if err := kern.Chown(s.peer, int(s.Process.UID), -1); err != nil {
		return at("give", "terminal", err)
	}
	if err := kern.SetControllingTTY(s.peer); err != nil {
		return at("take", "terminal", err)
	}
	for fd := range 3 {
		if err := kern.DupTo(s.peer, fd); err != nil {
			return at("open", "terminal", err)
		}
	}
	kern.Close(s.peer)
	return nil
}

// makeCwd makes the working directory where it is missing, as Docker does.
func (s *setup) makeCwd() error {
	fd, err := s.mkdirAll(s.Process.Cwd)
	if err != nil {
		return &stepError{step: "make working directory", object: s.Process.Cwd, err: err, exec: cannotExec}
	}
	kern.Close(fd)
	return nil
}

// chdir enters the working directory. A directory closed to root (a FUSE or NFS
// mount) may be open to the command's user, so the first, unfinal, try may fail.
//
// No link of procfs may be on the way, and afterwards the directory must be
// below the root: a descriptor that leaked from the host, named as
// /proc/self/fd/N, is neither (CVE-2024-21626).
func (s *setup) chdir(final bool) (entered bool, err error) { //nolint:revive // the second try differs in nothing else
	cwd := s.Process.Cwd
	err = s.enterDir(cwd)
	if !final && (errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM)) {
		return false, nil
	}
	if err != nil {
		return false, &stepError{step: "enter working directory", object: cwd, err: err, exec: cannotExec}
	}
	return true, nil
}

func (s *setup) enterDir(cwd string) error {
	root := s.rootFD
	if root == plan.NoFD {
		fd, err := kern.Open("/", dirPath, 0)
		if err != nil {
			return err
		}
		defer kern.Close(fd)
		root = fd
	}
	rel := strings.TrimPrefix(cwd, "/")
	if rel == "" {
		rel = "."
	}
	fd, err := kern.OpenIn(root, rel, dirPath, kern.InRoot)
	if err != nil {
		return err
	}
	defer kern.Close(fd)
	if err := kern.Fchdir(fd); err != nil {
		return err
	}
	now, err := kern.Getcwd()
	if err != nil {
		return err
	}
	if !strings.HasPrefix(now, "/") {
		return errOutside
	}
	return nil
}
