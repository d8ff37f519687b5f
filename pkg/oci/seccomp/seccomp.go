// Package seccomp compiles OCI seccomp profiles to filters of the kernel, and
// has the default profile.
//
// Theory of operation: a filter is a program of classic BPF over struct
// seccomp_data (seccomp(2)): call number, architecture, instruction pointer, six
// 64-bit arguments. Compile makes one section for each architecture that the
// machine can run and the profile names. In a section the rules of a call become
// a small body: tests on arguments, each falling through to the next rule, and a
// return. Neighbouring numbers with the same body are one span, and a binary
// search over the spans ends in the right body, so a call costs about eight
// comparisons.
//
// What rules mean is libseccomp's and runc's reading of the runtime spec:
//
//   - A rule with the default action adds nothing and is left out.
//   - A rule without conditions beats those with conditions, of several the
//     first counts. Else the first rule holds whose conditions all do.
//   - Conditions of one rule on the same argument are alternatives.
//   - Calls newer than the newest that a denying profile names give ENOSYS, so
//     that C libraries fall back, instead of the profile's own error.
//   - A call of an architecture that the profile does not name kills the thread.
package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Filter is a compiled profile.
type Filter struct {
	Program []byte // struct sock_filter, native byte order
	Flags   uint   // of seccomp(2)
}

// maxInstructions is the kernel's BPF_MAXINSNS.
const maxInstructions = 4096

// Compile compiles s for this machine.
func Compile(s *specs.LinuxSeccomp) (*Filter, error) {
	flags, err := filterFlags(s)
	if err != nil {
		return nil, err
	}
	prog, err := compile(s, runtime.GOARCH, true)
	if err != nil {
		return nil, err
	}
	if len(prog) > maxInstructions {
		return nil, fmt.Errorf("the profile needs %d instructions, the kernel takes %d", len(prog), maxInstructions)
	}
	return &Filter{Program: encode(prog), Flags: flags}, nil
}

func encode(prog []inst) []byte {
	out := make([]byte, 0, len(prog)*8)
	for _, in := range prog {
		out = binary.NativeEndian.AppendUint16(out, in.op)
		out = append(out, in.jt, in.jf)
		out = binary.NativeEndian.AppendUint32(out, in.k)
	}
	return out
}

// filterFlags are SECCOMP_FILTER_FLAG_* (linux/seccomp.h).
func filterFlags(s *specs.LinuxSeccomp) (uint, error) {
	const tsync, log, specAllow = 1, 2, 4
	if s.ListenerPath != "" || s.ListenerMetadata != "" {
		return 0, errors.New("listenerPath: not supported")
	}
	var flags uint
	for _, f := range s.Flags {
		switch f {
		case specs.LinuxSeccompFlagLog:
			flags |= log
		case specs.LinuxSeccompFlagSpecAllow:
			flags |= specAllow
		case "SECCOMP_FILTER_FLAG_TSYNC":
			flags |= tsync
		default:
			return 0, fmt.Errorf("flag %q: not supported", f)
		}
	}
	return flags, nil
}

// Return values of a filter (linux/seccomp.h).
const (
	retKillThread  = 0x00000000
	retKillProcess = 0x80000000
	retTrap        = 0x00030000
	retErrno       = 0x00050000
	retTrace       = 0x7ff00000
	retLog         = 0x7ffc0000
	retAllow       = 0x7fff0000

	errnoNoSys = 38
	errnoPerm  = 1
)

func action(a specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	data := uint32(errnoPerm)
	if errno != nil {
		if *errno > 0xffff {
			return 0, fmt.Errorf("errnoRet %d: want 0 to 65535", *errno)
		}
		data = uint32(*errno)
	}
	switch a {
	case specs.ActErrno:
		return retErrno | data, nil
	case specs.ActTrace:
		return retTrace | data, nil
	case specs.ActNotify:
		return 0, fmt.Errorf("action %s: not supported without a listener", a)
	default:
	}
	if errno != nil {
		return 0, fmt.Errorf("action %s: takes no errnoRet", a)
	}
	switch a {
	case specs.ActKill, specs.ActKillThread:
		return retKillThread, nil
	case specs.ActKillProcess:
		return retKillProcess, nil
	case specs.ActTrap:
		return retTrap, nil
	case specs.ActLog:
		return retLog, nil
	case specs.ActAllow:
		return retAllow, nil
	default:
		return 0, fmt.Errorf("action %q: unknown", a)
	}
}

// rule is a conjunction of conditions, and what is returned where it holds.
type rule struct {
	args []specs.LinuxSeccompArg
	ret  uint32
}

// callRules are what one entry of a profile says about one call.
type callRules struct {
	call  *syscallRow
	rules []rule
}

// profile is a LinuxSeccomp, checked.
type profile struct {
	def    uint32
	rules  []callRules
	calls  []*syscallRow     // all calls named, also by rules that were left out
	enosys bool              // calls too new for the profile give ENOSYS
	bodies map[uint32][]inst // see always
}

func newProfile(s *specs.LinuxSeccomp) (*profile, error) {
	def, err := action(s.DefaultAction, s.DefaultErrnoRet)
	if err != nil {
		return nil, fmt.Errorf("defaultAction: %w", err)
	}
	n := 0
	for i := range s.Syscalls {
		n += len(s.Syscalls[i].Names)
	}
	p := &profile{def: def, rules: make([]callRules, 0, n), calls: make([]*syscallRow, 0, n), bodies: map[uint32][]inst{}}
	for _, sc := range s.Syscalls {
		if err := p.add(&sc); err != nil {
			return nil, fmt.Errorf("syscalls: %s: %w", strings.Join(sc.Names, ", "), err)
		}
	}
	return p, nil
}

func (p *profile) add(sc *specs.LinuxSyscall) error {
	ret, err := action(sc.Action, sc.ErrnoRet)
	if err != nil {
		return err
	}
	named := len(p.calls)
	for _, name := range sc.Names { // a name that no machine has is no error
		if call := findCall(name); call != nil {
			p.calls = append(p.calls, call)
		}
	}
	if ret == p.def {
		return nil
	}
	for _, a := range sc.Args {
		if err := checkArg(a); err != nil {
			return err
		}
	}
	alternatives := []rule{{sc.Args, ret}}
	if repeats(sc.Args) {
		alternatives = nil
		for i := range sc.Args {
			alternatives = append(alternatives, rule{sc.Args[i : i+1], ret})
		}
	}
	for _, call := range p.calls[named:] {
		p.rules = append(p.rules, callRules{call, alternatives})
	}
	return nil
}

func repeats(args []specs.LinuxSeccompArg) bool {
	for i := range args {
		for j := range i {
			if args[i].Index == args[j].Index {
				return true
			}
		}
	}
	return false
}

func checkArg(a specs.LinuxSeccompArg) error {
	const last = 5
	if a.Index > last {
		return fmt.Errorf("argument index %d: want 0 to %d", a.Index, last)
	}
	switch a.Op {
	case specs.OpEqualTo, specs.OpMaskedEqual, specs.OpNotEqual, specs.OpGreaterThan,
		specs.OpGreaterEqual, specs.OpLessThan, specs.OpLessEqual:
		return nil
	}
	return fmt.Errorf("argument operator %q: unknown", a.Op)
}

// arch is a calling convention of the machine: a column of the table.
type arch struct {
	name   specs.Arch
	audit  uint32 // AUDIT_ARCH_* (linux/audit.h)
	column int
	first  uint32 // numbers begin here
	limit  uint32 // and new ones are given below this
}

const (
	auditX86_64  = 0xc000003e
	auditI386    = 0x40000003
	auditAarch64 = 0xc00000b7
	auditArm     = 0x40000028

	x32Bit     = 0x40000000
	x32Special = x32Bit + 512 // calls with arguments of another layout
	armPrivate = 0x0f0000     // calls of arm only
	noNumber   = ^uint32(0)   // what ptrace(2) leaves to skip a call
	noLimit    = ^uint32(0)
)

// machineArchs lists what a machine can run, its own first.
func machineArchs(goarch string) ([]arch, error) {
	switch goarch {
	case "amd64":
		return []arch{
			{specs.ArchX86_64, auditX86_64, 0, 0, x32Bit},
			{specs.ArchX86, auditI386, 1, 0, noLimit},
			{specs.ArchX32, auditX86_64, 2, x32Bit, x32Special},
		}, nil
	case "arm64":
		return []arch{
			{specs.ArchAARCH64, auditAarch64, 3, 0, noLimit},
			{specs.ArchARM, auditArm, 4, 0, armPrivate},
		}, nil
	}
	return nil, fmt.Errorf("machine %s: no table of system calls", goarch)
}

// selectArchs returns those of the machine that the profile wants: its own
// always, as with libseccomp.
func selectArchs(s *specs.LinuxSeccomp, goarch string) ([]arch, error) {
	all, err := machineArchs(goarch)
	if err != nil {
		return nil, err
	}
	for _, a := range s.Architectures {
		if !strings.HasPrefix(string(a), "SCMP_ARCH_") {
			return nil, fmt.Errorf("architectures: %q: unknown", a)
		}
	}
	chosen := all[:1:1]
	for _, a := range all[1:] {
		if slices.Contains(s.Architectures, a.name) {
			chosen = append(chosen, a)
		}
	}
	return chosen, nil
}

// syscallRow is a call's number in each column, or -1.
type syscallRow struct {
	name string
	nr   [5]int32
}

// findCall returns the call of a name, or nil.
func findCall(name string) *syscallRow {
	i, ok := slices.BinarySearchFunc(syscalls[:], name, func(r syscallRow, n string) int { return strings.Compare(r.name, n) })
	if !ok {
		return nil
	}
	return &syscalls[i]
}

// number returns the number of a call, where the architecture has it; no call, nil,
// has none.
func (a arch) number(call *syscallRow) (uint32, bool) {
	if call == nil || call.nr[a.column] < 0 {
		return 0, false
	}
	return uint32(call.nr[a.column]), true
}
