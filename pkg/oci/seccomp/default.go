package seccomp

//go:generate go run ./internal/gentable
//go:generate go run ./internal/gengolden -lseccomp

import (
	"fmt"
	"slices"

	mobyseccomp "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Numbers that the default profile is stricter about than Docker's.
const (
	afAlg    = 38 // the kernel's crypto sockets: a history of exploits
	afVsock  = 40 // reaches the hypervisor, past every network namespace
	tiocsti  = 0x5412
	tioclinx = 0x541c // both put input into a terminal as if it had been typed
)

// Default returns the default profile for a container whose bounding set is
// caps: Docker's, and
//
//   - AF_ALG and AF_VSOCK are refused also where a caller sets the upper half of
//     the argument, which the kernel ignores and a comparison of 64 bits does not;
//   - ioctls that type into a terminal are refused (CVE-2017-5226);
//   - vmsplice is refused;
//   - clone3 gives ENOSYS whatever the capabilities, unless they include
//     CAP_SYS_ADMIN: its flags are in memory, out of a filter's sight.
//
// It depends on the running kernel's release, as Docker's does.
func Default(caps []string) (*specs.LinuxSeccomp, error) {
	s, err := mobyseccomp.GetDefaultProfile(&specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}},
	})
	if err != nil {
		return nil, fmt.Errorf("default seccomp profile: %w", err)
	}
	var out []specs.LinuxSyscall
	for _, sc := range s.Syscalls {
		sc.Names = slices.DeleteFunc(slices.Clone(sc.Names), func(n string) bool {
			return n == "socket" || n == "ioctl" || n == "vmsplice"
		})
		if len(sc.Names) > 0 {
			out = append(out, sc)
		}
	}
	out = append(out, allBut("socket", 0, afAlg, afVsock)...)
	s.Syscalls = append(out, allBut("ioctl", 1, tiocsti, tioclinx)...)
	return s, nil
}

// Nested is Default for containers that make containers, or other namespaces, of
// their own: calls that enter and make them, that mount, and that keep keys of
// their own are allowed, whatever the capabilities. The kernel checks who may; what
// is lost is the protection from its mistakes there.
func Nested(caps []string) (*specs.LinuxSeccomp, error) {
	s, err := Default(caps)
	if err != nil {
		return nil, err
	}
	more := []string{
		"clone", "clone3", "fsconfig", "fsmount", "fsopen", "fspick", "keyctl", "mount", "mount_setattr", "move_mount",
		"open_tree", "pivot_root", "setdomainname", "sethostname", "setns", "umount", "umount2", "unshare",
	}
	var out []specs.LinuxSyscall
	for _, sc := range s.Syscalls {
		sc.Names = slices.DeleteFunc(slices.Clone(sc.Names), func(n string) bool { return slices.Contains(more, n) })
		if len(sc.Names) > 0 {
			out = append(out, sc)
		}
	}
	s.Syscalls = append(out, specs.LinuxSyscall{Names: more, Action: specs.ActAllow})
	return s, nil
}

// FakeOwners changes s so that calls which change the owner of a file do nothing,
// and succeed (seccomp(2): an error number of 0).
func FakeOwners(s *specs.LinuxSeccomp) {
	calls := []string{"chown", "chown32", "fchown", "fchown32", "fchownat", "lchown", "lchown32"}
	var out []specs.LinuxSyscall
	for _, sc := range s.Syscalls {
		sc.Names = slices.DeleteFunc(slices.Clone(sc.Names), func(n string) bool { return slices.Contains(calls, n) })
		if len(sc.Names) > 0 {
			out = append(out, sc)
		}
	}
	s.Syscalls = append(out, specs.LinuxSyscall{Names: calls, Action: specs.ActErrno, ErrnoRet: new(uint)})
}

// allBut allows a call unless the lower 32 bits of an argument are one of
// values. The spec has no such condition, so the numbers that are left are cut
// into blocks with a common prefix, each a masked comparison. Small numbers,
// which are the usual ones, come first.
func allBut(name string, index uint, values ...uint32) []specs.LinuxSyscall {
	var list []specs.LinuxSyscall
	var cut func(prefix, mask uint32, left []uint32)
	cut = func(prefix, mask uint32, left []uint32) {
		if len(left) == 0 {
			list = append(list, specs.LinuxSyscall{
				Names: []string{name}, Action: specs.ActAllow,
				Args: []specs.LinuxSeccompArg{
					{Index: index, Op: specs.OpMaskedEqual, Value: uint64(mask), ValueTwo: uint64(prefix)},
				},
			})
			return
		}
		if mask == ^uint32(0) {
			return // one of values
		}
		bit := (mask>>1 | 1<<31) &^ mask
		for _, p := range []uint32{prefix, prefix | bit} {
			var in []uint32
			for _, v := range left {
				if v&(mask|bit) == p {
					in = append(in, v)
				}
			}
			cut(p, mask|bit, in)
		}
	}
	cut(0, 0, values)
	slices.SortStableFunc(list, func(a, b specs.LinuxSyscall) int {
		return int(int64(b.Args[0].Value>>1) - int64(a.Args[0].Value>>1)) // longest prefix first
	})
	return list
}
