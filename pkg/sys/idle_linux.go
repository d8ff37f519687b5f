package sys

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// DropProgramPages forgets which pages of this program's file are mapped
// (MADV_DONTNEED, madvise(2)). They stay in the page cache, and those that are
// used again come back one fault each. A process that did much once and waits from
// then on is smaller by most of the program's size. It is a courtesy: errors are
// ignored.
func DropProgramPages() {
	advise(unix.MADV_DONTNEED, func(perms, path string) bool {
		return strings.HasPrefix(path, "/") && !strings.Contains(perms, "w")
	})
}

// KeepPagesSmall keeps the kernel from gathering the memory that this process has
// into huge pages (MADV_NOHUGEPAGE, madvise(2)): one that uses a few hundred
// kilobytes would have megabytes. Like DropProgramPages it is a courtesy.
func KeepPagesSmall() {
	advise(unix.MADV_NOHUGEPAGE, func(perms, path string) bool {
		return strings.HasPrefix(perms, "rw") && !strings.HasPrefix(path, "/")
	})
}

// advise gives the kernel one advice about the mappings of this process that are
// chosen by their permissions and path, at most 32.
func advise(advice uintptr, chosen func(perms, path string) bool) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	var ranges [32][2]uintptr
	n := 0
	for line := range strings.Lines(string(maps)) {
		// start-end perms offset dev inode path (proc_pid_maps(5))
		f := append(strings.Fields(line), "")
		if len(f) < 6 || !chosen(f[1], f[5]) || n == len(ranges) {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil || end <= start {
			continue
		}
		ranges[n] = [2]uintptr{uintptr(start), uintptr(end - start)}
		n++
	}
	// Nothing but this in between: what runs now comes back at once.
	for _, r := range ranges[:n] {
		_, _, _ = unix.RawSyscall(unix.SYS_MADVISE, r[0], r[1], advice)
	}
}
