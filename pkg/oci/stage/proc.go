package stage

import (
	"errors"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

const procRootIno = 1 // PROC_ROOT_INO in the kernel's include/linux/proc_fs.h

// procFlags are those of openProc's own mount, for mount(2).
const procFlags = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC

// openProc opens a procfs that no path of the container leads to: a new
// detached one, or where the pid namespace is not ours the host's, checked to
// be the real thing.
func (s *setup) openProc() error {
	if s.proc != plan.NoFD {
		return nil
	}
	if s.OwnPID {
		fd, err := kern.NewFS("proc", kern.AttrNosuid|kern.AttrNodev|kern.AttrNoexec, "source=proc")
		if err == nil {
			s.proc, s.ownProc = fd, true
			return nil
		}
	}
	fd, err := kern.Open("/proc", dirPath, 0)
	if err != nil {
		return err
	}
	magic, err := kern.FSMagic(fd)
	if err != nil {
		return err
	}
	st, err := kern.Stat(fd)
	if err != nil {
		return err
	}
	if magic != kern.ProcMagic || st.Ino != procRootIno {
		return errors.New("/proc is not a procfs")
	}
	s.proc = fd
	return nil
}

func (s *setup) writeProc(path, value string) error {
	if own, ok := strings.CutPrefix(path, "self/"); ok && s.SelfProc != plan.NoFD {
		return kern.WriteIn(s.SelfProc, own, value)
	}
	if s.guest {
		return errors.New("the container's procfs can't be trusted")
	}
	if err := s.openProc(); err != nil {
		return err
	}
	return kern.WriteIn(s.proc, path, value)
}

// kernelNames sets what belongs to the namespaces and the process rather than
// to the file system.
func (s *setup) kernelNames() error {
	if s.Hostname != "" {
		if err := kern.Sethostname(s.Hostname); err != nil {
			return at("set hostname", s.Hostname, err)
		}
	}
	if s.Domainname != "" {
		if err := kern.Setdomainname(s.Domainname); err != nil {
			return at("set domainname", s.Domainname, err)
		}
	}
	if s.OwnNet {
		if err := kern.LoopbackUp(); err != nil {
			return at("bring up", "interface lo", err)
		}
	}
	if s.OOMScoreAdj != "" {
		if err := s.writeProc("self/oom_score_adj", s.OOMScoreAdj); err != nil {
			return at("set oom_score_adj", s.OOMScoreAdj, err)
		}
	}
	if s.Label != nil {
		if err := s.writeProc("self/attr/"+s.Label.File, s.Label.Value); err != nil {
			return at("set security label", s.Label.Value, err)
		}
	}
	return nil
}

func (s *setup) writeSysctls() error {
	for _, c := range s.Sysctl {
		if err := s.writeProc("sys/"+c.Path, c.Value); err != nil {
			return at("set sysctl", strings.ReplaceAll(c.Path, "/", "."), err)
		}
	}
	return nil
}

// limits sets what lowers the process's share of the machine, except for what
// could hurt the Go runtime before execve.
func (s *setup) limits() error {
	// The Go runtime has raised the soft limit of open files and puts it back
	// in its Exec, even one that fails.
	_ = syscall.Exec("", []string{""}, nil)
	// What our caller ignores (nohup, a closed pipe) is not the command's business.
	kern.DefaultSignals()
	if s.Scheduler != nil {
		if err := kern.SetScheduler(kern.Sched(*s.Scheduler)); err != nil {
			return at("set", "scheduler", err)
		}
	}
	if s.IOPriority != nil {
		if err := kern.SetIOPriority(*s.IOPriority); err != nil {
			return at("set", "I/O priority", err)
		}
	}
	if s.Personality != nil {
		if err := kern.Personality(*s.Personality); err != nil {
			return at("set", "personality", err)
		}
	}
	return s.setRlimits(func(kind int) bool { return !dangerous(kind) })
}

// setRlimits sets the limits of the wanted kinds.
func (s *setup) setRlimits(want func(kind int) bool) error {
	for _, r := range s.Rlimits {
		if !want(r.Resource) {
			continue
		}
		var now syscall.Rlimit
		if err := syscall.Getrlimit(r.Resource, &now); err != nil {
			return at("read limit", r.Name, err)
		}
		err := syscall.Setrlimit(r.Resource, &syscall.Rlimit{Cur: r.Soft, Max: r.Hard})
		if errors.Is(err, syscall.EPERM) && r.Hard > now.Max {
			return at("set limit", r.Name, &aboveHard{want: r.Hard, have: now.Max})
		}
		if err != nil {
			return at("set limit", r.Name, err)
		}
	}
	return nil
}

func dangerous(resource int) bool {
	const nproc = 6
	switch resource {
	case syscall.RLIMIT_AS, syscall.RLIMIT_DATA, syscall.RLIMIT_STACK, syscall.RLIMIT_CPU, nproc:
		return true
	}
	return false
}
