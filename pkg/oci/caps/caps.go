// Package caps translates capability names.
package caps

import (
	"fmt"
	"strings"
)

// names holds capability N at index N (linux/capability.h, capabilities(7)).
//
//nolint:gochecknoglobals // a table
var names = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
	"SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
	"IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
	"SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
	"LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
	"WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

const prefix = "CAP_"

// Mask returns the set of the named capabilities, bit N for capability N. Names
// are those of the runtime spec, "CAP_" and upper case.
func Mask(list []string) (uint64, error) {
	var mask uint64
	for _, name := range list {
		n, ok := Number(name)
		if !ok {
			return 0, fmt.Errorf("capability %q: unknown", name)
		}
		mask |= 1 << n
	}
	return mask, nil
}

// Number returns the number of a capability.
func Number(name string) (n int, ok bool) {
	short, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	for i, s := range names {
		if s == short {
			return i, true
		}
	}
	return 0, false
}

// Names returns the names of a set, in the order of their numbers.
func Names(mask uint64) []string {
	var list []string
	for i, s := range names {
		if mask&(1<<i) != 0 {
			list = append(list, prefix+s)
		}
	}
	return list
}
