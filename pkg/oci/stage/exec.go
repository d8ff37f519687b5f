package stage

import (
	"errors"
	"strconv"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// Exit statuses of a command that can't run, as shells have them (POSIX, XCU
// 2.8.2).
const (
	cannotExec = 126
	notFound   = 127
)

// defaultPath is searched when the environment has no PATH, as Docker does.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// firstExtra is the number of the first descriptor after the standard three.
const firstExtra = 3

// exec becomes the command. The socket closes with it; until then it tells what
// went wrong.
func (s *setup) exec() error {
	p := &s.Process
	if err := s.placeExtra(); err != nil {
		return err
	}
	if err := s.setRlimits(dangerous); err != nil {
		return err
	}
	if len(s.Seccomp) > 0 && p.NoNewPrivs {
		if err := kern.LoadSeccomp(s.Seccomp, s.SeccompFlags); err != nil {
			return at("load", "seccomp filter", err)
		}
	}
	// Before the socket: who sees that closed must find this closed too.
	kern.Close(s.Held)
	if !p.Reaper {
		return execCommand(p.Args, p.Env)
	}
	if err := kern.DupTo(s.sync, s.sync); err != nil { // now it survives execve
		return at("keep", "socket", err)
	}
	args := append([]string{plan.ReaperName, strconv.Itoa(s.sync), strconv.Itoa(p.Extra)}, p.Args...)
	return at("run", "reaper", kern.ExecFD(p.SelfFD, args, p.Env))
}

// arrange moves what is needed up to execve, and the extra descriptors, above the
// numbers that the extra ones will have, and makes all others end with execve. None
// is closed or replaced here: one may be the runtime's own, for its poller, which
// works for as long as there is something to wait for. It comes before any filter,
// which may know nothing of close_range(2).
func (s *setup) arrange() error {
	p := &s.Process
	all := []*int{&s.sync, &s.Gate, &s.Held, &s.ptmx, &p.SelfFD}
	free := firstExtra + p.Extra
	for i := range s.extra {
		all = append(all, &s.extra[i])
	}
	for _, fd := range all {
		if *fd == plan.NoFD {
			continue
		}
		up, err := kern.Dup(*fd, free)
		if err != nil {
			return at("move", "descriptors", err)
		}
		*fd = up
	}
	s.rootFD, s.proc, s.null, s.mask = plan.NoFD, plan.NoFD, plan.NoFD, plan.NoFD
	return at("close", "descriptors", kern.CloexecFrom(firstExtra))
}

// placeExtra gives the extra descriptors their final numbers, whatever has them.
// From here on nothing may be waited for.
func (s *setup) placeExtra() error {
	for i, fd := range s.extra {
		if err := kern.DupTo(fd, firstExtra+i); err != nil {
			return at("move", "descriptors", err)
		}
	}
	return nil
}

// execCommand replaces the process by the command, looked up in the PATH of its
// own environment unless its name has a slash. It returns only on failure.
func execCommand(args, env []string) error {
	name := args[0]
	if name == "" {
		return &stepError{step: "run", object: `""`, err: syscall.ENOENT, exec: notFound}
	}
	if strings.Contains(name, "/") {
		return execFailed(name, syscall.Exec(name, args, env))
	}
	var denied error
	for dir := range strings.SplitSeq(searchPath(env), ":") {
		if dir == "" {
			dir = "."
		}
		err := syscall.Exec(dir+"/"+name, args, env)
		switch {
		case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		case errors.Is(err, syscall.EACCES):
			denied = err
		default:
			return execFailed(dir+"/"+name, err)
		}
	}
	if denied != nil {
		return execFailed(name, denied)
	}
	return &stepError{step: "run", object: name, err: errNotInPath, exec: notFound}
}

var errNotInPath = errors.New("executable file not found in $PATH")

func execFailed(path string, err error) error {
	status := cannotExec
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) {
		status = notFound
	}
	return &stepError{step: "run", object: path, err: err, exec: status}
}

// searchPath returns the PATH of env, the first as getenv(3) would.
func searchPath(env []string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			return v
		}
	}
	return defaultPath
}
