package kern

import "golang.org/x/sys/unix"

// NoHugePages keeps this process, and what it executes and forks, from transparent
// huge pages, where the host gives them to all (PR_SET_THP_DISABLE).
func NoHugePages() error { return unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0) }

// AllowHugePages undoes NoHugePages.
func AllowHugePages() error { return unix.Prctl(unix.PR_SET_THP_DISABLE, 0, 0, 0, 0) }

// HugePages reports whether this process may have some.
func HugePages() bool {
	disabled, err := unix.PrctlRetInt(unix.PR_GET_THP_DISABLE, 0, 0, 0, 0)
	return err == nil && disabled == 0
}
