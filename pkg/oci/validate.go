package oci

import (
	"errors"
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Validate reports every mistake of a spec that can be seen without the host,
// each naming its field as in config.json.
func Validate(s *specs.Spec) error {
	if s == nil {
		return errors.New("config.json: empty")
	}
	errs := []error{checkVersion(s.Version)}
	if s.Process == nil {
		errs = append(errs, errors.New("process: missing"))
	} else {
		errs = append(errs, checkProcess(s.Process)...)
	}
	if s.Windows != nil || s.Solaris != nil || s.VM != nil || s.ZOS != nil || s.FreeBSD != nil {
		errs = append(errs, errors.New("config.json: is for another platform than linux"))
	}
	for _, m := range s.Mounts {
		if !path.IsAbs(m.Destination) {
			errs = append(errs, fmt.Errorf("mounts: destination %q: not an absolute path", m.Destination))
		}
	}
	errs = append(errs, checkHooks(s.Hooks)...)
	if s.Linux != nil {
		errs = append(errs, checkLinux(s)...)
	}
	return errors.Join(errs...)
}

// checkVersion accepts every 1.x: minor versions only add fields.
func checkVersion(v string) error {
	if v == "" {
		return errors.New("ociVersion: missing")
	}
	if major, rest, ok := strings.Cut(v, "."); !ok || major != "1" || rest == "" {
		return fmt.Errorf("ociVersion %q: not supported; this runtime implements %s", v, specs.Version)
	}
	return nil
}

func checkProcess(p *specs.Process) []error {
	var errs []error
	if len(p.Args) == 0 {
		errs = append(errs, errors.New("process.args: missing"))
	}
	if !path.IsAbs(p.Cwd) {
		errs = append(errs, fmt.Errorf("process.cwd %q: not an absolute path", p.Cwd))
	}
	for _, s := range append(append([]string{p.Cwd}, p.Args...), p.Env...) {
		if strings.ContainsRune(s, 0) {
			errs = append(errs, fmt.Errorf("process: %q contains a zero byte", s))
		}
	}
	for _, e := range p.Env {
		if i := strings.IndexByte(e, '='); i <= 0 {
			errs = append(errs, fmt.Errorf("process.env %q: want NAME=VALUE", e))
		}
	}
	const maxAdj = 1000 // proc_pid_oom_score_adj(5)
	if a := p.OOMScoreAdj; a != nil && (*a < -maxAdj || *a > maxAdj) {
		errs = append(errs, fmt.Errorf("process.oomScoreAdj %d: want -%d to %d", *a, maxAdj, maxAdj))
	}
	seen := map[string]bool{}
	for _, r := range p.Rlimits {
		if seen[r.Type] {
			errs = append(errs, fmt.Errorf("process.rlimits: %s: given twice", r.Type))
		}
		seen[r.Type] = true
	}
	if u := p.User.Umask; u != nil && *u > 0o777 {
		errs = append(errs, fmt.Errorf("process.user.umask %#o: want 0 to 0777", *u))
	}
	if p.ExecCPUAffinity != nil {
		errs = append(errs, errors.New("process.execCPUAffinity: not supported"))
	}
	return errs
}

func checkHooks(h *specs.Hooks) []error {
	if h == nil {
		return nil
	}
	var errs []error
	for _, list := range [][]specs.Hook{
		h.Prestart, //nolint:staticcheck // deprecated, yet to be honoured
		h.CreateRuntime, h.CreateContainer, h.StartContainer, h.Poststart, h.Poststop,
	} {
		for _, k := range list {
			if !path.IsAbs(k.Path) {
				errs = append(errs, fmt.Errorf("hooks: path %q: not absolute", k.Path))
			}
			if k.Timeout != nil && *k.Timeout <= 0 {
				errs = append(errs, fmt.Errorf("hooks: %s: timeout %d: want more than 0 seconds", k.Path, *k.Timeout))
			}
		}
	}
	return errs
}

func checkLinux(s *specs.Spec) []error {
	l := s.Linux
	var errs []error
	have := map[specs.LinuxNamespaceType]bool{}
	for _, ns := range l.Namespaces {
		if have[ns.Type] {
			errs = append(errs, fmt.Errorf("linux.namespaces: %s: given twice", ns.Type))
		}
		have[ns.Type] = true
	}
	errs = append(errs, checkNeeds(s, have)...)
	for name := range l.Sysctl {
		errs = append(errs, checkSysctl(name, s.Hostname != "", have))
	}
	for field, p := range map[string][]string{"maskedPaths": l.MaskedPaths, "readonlyPaths": l.ReadonlyPaths} {
		for _, p := range p {
			if !path.IsAbs(p) {
				errs = append(errs, fmt.Errorf("linux.%s: %q: not absolute", field, p))
			}
		}
	}
	if l.IntelRdt != nil || l.MemoryPolicy != nil || len(l.NetDevices) > 0 {
		errs = append(errs, errors.New("linux: intelRdt, memoryPolicy and netDevices are not supported"))
	}
	return errs
}

// checkNeeds looks for settings without the namespace that they are of.
func checkNeeds(s *specs.Spec, have map[specs.LinuxNamespaceType]bool) []error {
	l := s.Linux
	var errs []error
	if (s.Hostname != "" || s.Domainname != "") && !have[specs.UTSNamespace] {
		errs = append(errs, errors.New("hostname: needs a uts namespace, else it would be the host's"))
	}
	if len(l.UIDMappings)+len(l.GIDMappings) > 0 && !have[specs.UserNamespace] {
		errs = append(errs, errors.New("linux.uidMappings: need a user namespace"))
	}
	if len(l.TimeOffsets) > 0 && !have[specs.TimeNamespace] {
		errs = append(errs, errors.New("linux.timeOffsets: need a time namespace"))
	}
	for clock := range l.TimeOffsets {
		if clock != "monotonic" && clock != "boottime" {
			errs = append(errs, fmt.Errorf("linux.timeOffsets: clock %q: want monotonic or boottime", clock))
		}
	}
	return errs
}

// checkSysctl lets only values through that belong to a namespace of the
// container; all others are the whole machine's.
func checkSysctl(name string, hostname bool, have map[specs.LinuxNamespaceType]bool) error {
	p := sysctlPath(name)
	var ns specs.LinuxNamespaceType
	switch {
	case p == "kernel/hostname" && hostname:
		return fmt.Errorf("linux.sysctl: %s: hostname says it already", name)
	case p == "kernel/hostname", p == "kernel/domainname":
		ns = specs.UTSNamespace
	case strings.HasPrefix(p, "net/"):
		ns = specs.NetworkNamespace
	case strings.HasPrefix(p, "fs/mqueue/"), strings.HasPrefix(p, "kernel/msg"),
		strings.HasPrefix(p, "kernel/shm"), p == "kernel/sem":
		ns = specs.IPCNamespace
	case strings.HasPrefix(p, "user/"):
		ns = specs.UserNamespace
	default:
		return fmt.Errorf("linux.sysctl: %s: is not a container's but the whole machine's", name)
	}
	if !have[ns] {
		return fmt.Errorf("linux.sysctl: %s: needs a %s namespace of the container's own", name, ns)
	}
	return nil
}
