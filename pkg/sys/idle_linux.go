package sys

import (
	"bytes"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DropProgramPages forgets which pages of this program's file are mapped
// (MADV_DONTNEED, madvise(2)). They stay in the page cache, and those that are
// used again come back with some of their neighbours, 64 KiB at a fault. A process
// that did much once and waits from then on is smaller by most of the program's
// size. It is a courtesy: errors are ignored.
func DropProgramPages() { drop(programPages()) }

// A Rester drops the program's pages when it is told that this process has done what
// there was to do.
//
// What counts is what runs afterwards, for that comes back. A goroutine that ends
// looks up its own name, which is six windows of the program's file; one that waits
// is two. So it is always the same one, and it waits for nothing but a channel.
type Rester struct {
	due   chan struct{}
	mu    sync.Mutex
	ended bool
}

// NewRester makes one.
func NewRester() *Rester {
	r := &Rester{due: make(chan struct{}, 1)}
	go rest(r.due)
	return r
}

// Now drops pages as soon as the caller waits, or ends.
func (r *Rester) Now() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	select {
	case r.due <- struct{}{}:
	default: // it is about to
	}
}

// End ends the Rester.
func (r *Rester) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.ended = true
		close(r.due)
	}
}

// others is how long goroutines that look for work before they sleep may do so.
const others = 5 * time.Millisecond

func rest(due <-chan struct{}) {
	var program []addresses
	timer := time.NewTimer(0)
	<-timer.C
	for range due {
		if program == nil {
			program = programPages()
		}
		timer.Reset(others)
		<-timer.C
		// Who is woken by another goroutine goes on in that one's slice of time, and
		// that began before the process slept. To be told that it is over, by a signal
		// amidst the calls below, would bring back what describes the code, too.
		runtime.Gosched()
		drop(program)
	}
}

// drop calls the kernel by way of package syscall, which has its place in the file
// next to the runtime's, and last for what holds the code.
func drop(program []addresses) {
	for _, a := range slices.Backward(program) {
		_, _, _ = syscall.RawSyscall(unix.SYS_MADVISE, a.start, a.end-a.start, unix.MADV_DONTNEED)
	}
}

// DropContents gives back the memory of p, but for pages that others have a part of:
// what was there reads as 0 from then on, or is as it was (MADV_DONTNEED).
func DropContents(p []byte) {
	if len(p) == 0 {
		return
	}
	page := uintptr(os.Getpagesize())
	at := uintptr(unsafe.Pointer(&p[0]))
	from, to := (at+page-1)&^(page-1), (at+uintptr(len(p)))&^(page-1)
	if from < to {
		_, _, _ = syscall.RawSyscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
	}
	runtime.KeepAlive(p)
}

// KeepPagesSmall keeps the kernel from gathering the memory that this process has
// into huge pages (MADV_NOHUGEPAGE, madvise(2)): one that uses a few hundred
// kilobytes would have megabytes. Like DropProgramPages it is a courtesy.
func KeepPagesSmall() {
	for _, a := range mapped(func(m mapping) bool { return m.written && m.inode == 0 }) {
		_, _, _ = syscall.RawSyscall(unix.SYS_MADVISE, a.start, a.end-a.start, unix.MADV_NOHUGEPAGE)
	}
}

// programPages are the addresses where this program's file is mapped, and is as it is
// on disk, in their order. What is only read is not, where a dynamic linker has put
// addresses into it: then it is the code alone.
func programPages() []addresses {
	var program uint64
	linked := false
	mapped(func(m mapping) bool {
		if program == 0 {
			program = m.inode
		}
		linked = linked || m.inode != 0 && m.inode != program
		return false
	})
	return mapped(func(m mapping) bool { return m.inode != 0 && m.inode == program && !m.written && (m.code || !linked) })
}

// addresses are a range of them.
type addresses struct{ start, end uintptr }

// mapping is what is told of one.
type mapping struct {
	written, code bool
	inode         uint64 // of the file, 0: none
}

// most is how many mappings are advised about, and mapsRead how much of their list is
// read at once, in bytes.
const (
	most     = 32
	mapsRead = 512
)

// mapped lists the mappings of this process that are chosen, at most a few. It leaves
// little behind: the memory of who calls it is not collected soon.
func mapped(chosen func(mapping) bool) []addresses {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return nil
	}
	defer f.Close()
	found := make([]addresses, 0, most)
	buf, have := make([]byte, mapsRead), 0
	for len(found) < most {
		n, err := f.Read(buf[have:])
		have += n
		rest := buf[:have]
		for len(found) < most {
			line, after, ok := bytes.Cut(rest, []byte{'\n'})
			if !ok {
				break
			}
			if a, m, ok := parseMapping(line); ok && chosen(m) {
				found = append(found, a)
			}
			rest = after
		}
		have = copy(buf, rest)
		if err != nil || have == len(buf) { // or a path that is longer than those of programs
			break
		}
	}
	return found
}

// parseMapping reads a line of proc_pid_maps(5): start-end perms offset dev inode path.
func parseMapping(line []byte) (a addresses, m mapping, ok bool) {
	ends, rest, _ := bytes.Cut(line, []byte{' '})
	perms, rest, _ := bytes.Cut(rest, []byte{' '})
	_, rest, _ = bytes.Cut(rest, []byte{' '})
	_, rest, _ = bytes.Cut(rest, []byte{' '})
	inode, _, _ := bytes.Cut(rest, []byte{' '})
	from, to, _ := bytes.Cut(ends, []byte{'-'})
	start, err1 := strconv.ParseUint(string(from), 16, 64)
	end, err2 := strconv.ParseUint(string(to), 16, 64)
	number, err3 := strconv.ParseUint(string(inode), 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || end <= start || len(perms) < 3 {
		return a, m, false
	}
	return addresses{uintptr(start), uintptr(end)}, mapping{perms[1] == 'w', perms[2] == 'x', number}, true
}
