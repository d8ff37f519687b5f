// Package proctab reads the processes of a pid namespace from the /proc of a
// namespace above it, and shows them as ps(1) does. Nothing is run or read inside
// the namespace, whose own /proc anybody there could have replaced.
package proctab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

// TicksPerSecond is USER_HZ, which is the same on every architecture that Go
// supports (time(7)).
const TicksPerSecond = 100

// Process is one process (proc_pid_stat(5), proc_pid_status(5)). Ids of users and
// groups are the reader's: IDMap translates them.
type Process struct {
	HostPID     int // as the reader sees it
	PID, PPID   int // as the namespace does; PPID 0: its parent is outside
	State       byte
	PGID, SID   int
	TTY         int // device number; 0: none
	Nice        int
	Threads     int
	CPU         time.Duration // user and system
	ChildCPU    time.Duration // of its children that have ended and were waited for, and theirs
	Start       time.Duration // after boot
	VSize, RSS  uint64        // bytes
	Comm        string
	Args        []string // empty: a kernel thread or a zombie
	UID, RUID   uint32   // effective and real
	GID, RGID   uint32
	Groups      []uint32
	Caps        map[string]uint64 // by field: CapInh, CapPrm, CapEff, CapBnd, CapAmb
	Seccomp     int               // mode (seccomp(2))
	Label       string            // of the security module; empty: none
	hostPPID    int
	nsPIDs      []int
	hostGroup   int
	hostSession int
}

// List returns the processes of the pid namespace that init, a pid, is in, and of
// those below it, by pid. Processes that end meanwhile are left out.
func List(init int) ([]Process, error) {
	want, err := os.Stat(nsPath(init))
	if err != nil {
		return nil, fmt.Errorf("find the pid namespace of process %d: %w", init, gone(err))
	}
	first, err := read(init)
	if err != nil {
		return nil, err
	}
	depth := len(first.nsPIDs) - 1
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !inside(pid, want) {
			continue
		}
		p, err := read(pid)
		if err != nil || len(p.nsPIDs) <= depth {
			continue // it has ended
		}
		p.PID = p.nsPIDs[depth]
		all = append(all, p)
	}
	translate(all)
	slices.SortFunc(all, func(a, b Process) int { return a.PID - b.PID })
	return all, nil
}

func nsPath(pid int) string { return "/proc/" + strconv.Itoa(pid) + "/ns/pid" }

// gone makes one error of the two that tell of an ended process.
func gone(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return fs.ErrNotExist
	}
	return err
}

// inside reports whether pid is in the namespace want or in one below it. A process
// of another user can't be: its namespaces are not shown.
func inside(pid int, want os.FileInfo) bool {
	f, err := os.Open(nsPath(pid))
	if err != nil {
		return false
	}
	const maxDepth = 32 // pid_namespaces(7)
	for range maxDepth {
		have, err := f.Stat()
		if err == nil && os.SameFile(have, want) {
			f.Close()
			return true
		}
		up, err := sys.PIDNSParent(f)
		f.Close()
		if err != nil {
			return false
		}
		f = up
	}
	f.Close()
	return false
}

// translate turns pids of the reader into pids of the namespace.
func translate(all []Process) {
	pids := make(map[int]int, len(all))
	for i := range all {
		pids[all[i].HostPID] = all[i].PID
	}
	for i := range all {
		p := &all[i]
		p.PPID, p.PGID, p.SID = pids[p.hostPPID], pids[p.hostGroup], pids[p.hostSession]
	}
}

func read(pid int) (Process, error) {
	p := Process{HostPID: pid}
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err == nil {
		err = p.parseStat(string(stat))
	}
	if err != nil {
		return p, gone(err)
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err == nil {
		err = p.parseStatus(string(status))
	}
	if err != nil {
		return p, gone(err)
	}
	if cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil && len(cmdline) > 0 {
		p.Args = strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
	}
	if label, err := os.ReadFile(filepath.Join(dir, "attr/current")); err == nil {
		p.Label = strings.TrimRight(string(label), "\x00\n")
	}
	return p, nil
}

var errFormat = errors.New("unexpected format")

// parseStat reads /proc/PID/stat, whose second field, in brackets, may contain
// anything.
func (p *Process) parseStat(s string) error {
	open, end := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')')
	if open < 0 || end < open {
		return fmt.Errorf("/proc/%d/stat: %w", p.HostPID, errFormat)
	}
	p.Comm = s[open+1 : end]
	f := strings.Fields(s[end+1:])
	// Numbers of the manual page less 3: the list begins with field 3.
	const state, ppid, pgrp, session, tty, utime, stime, cutime, cstime, nice, threads, start, vsize, rss = 0, 1, 2, 3, 4, 11, 12, 13, 14, 16, 17, 19, 20, 21
	if len(f) <= rss {
		return fmt.Errorf("/proc/%d/stat: %w", p.HostPID, errFormat)
	}
	num := func(i int) int {
		n, _ := strconv.ParseInt(f[i], 10, 64) // the kernel writes numbers
		return int(n)
	}
	p.State = f[state][0]
	p.hostPPID, p.hostGroup, p.hostSession, p.TTY = num(ppid), num(pgrp), num(session), num(tty)
	p.Nice, p.Threads = num(nice), num(threads)
	p.ChildCPU = ticks(num(cutime) + num(cstime))
	p.CPU, p.Start = ticks(num(utime)+num(stime)), ticks(num(start))
	p.VSize, p.RSS = uint64(num(vsize)), uint64(num(rss)*os.Getpagesize()) //nolint:gosec // sizes
	return nil
}

func ticks(n int) time.Duration { return time.Duration(n) * (time.Second / TicksPerSecond) }

func (p *Process) parseStatus(s string) error {
	p.Caps = map[string]uint64{}
	for line := range strings.Lines(s) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		f := strings.Fields(value)
		switch {
		case key == "NSpid":
			for _, n := range f {
				pid, _ := strconv.Atoi(n)
				p.nsPIDs = append(p.nsPIDs, pid)
			}
		case key == "Uid" && len(f) == 4:
			p.RUID, p.UID = id(f[0]), id(f[1])
		case key == "Gid" && len(f) == 4:
			p.RGID, p.GID = id(f[0]), id(f[1])
		case key == "Groups":
			for _, g := range f {
				p.Groups = append(p.Groups, id(g))
			}
		case strings.HasPrefix(key, "Cap") && len(f) == 1:
			p.Caps[key], _ = strconv.ParseUint(f[0], 16, 64)
		case key == "Seccomp" && len(f) == 1:
			p.Seccomp, _ = strconv.Atoi(f[0])
		}
	}
	if len(p.nsPIDs) == 0 {
		return fmt.Errorf("/proc/%d/status: %w", p.HostPID, errFormat)
	}
	return nil
}

func id(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}

// An IDMap is a uid_map or gid_map (user_namespaces(7)), as /proc/PID/uid_map shows
// it to the reader of that namespace's parent.
type IDMap [][3]uint32

// ReadIDMap reads /proc/PID/uid_map or gid_map.
func ReadIDMap(pid int, file string) (IDMap, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + file)
	if err != nil {
		return nil, gone(err)
	}
	var m IDMap
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("/proc/%d/%s: %w", pid, file, errFormat)
		}
		m = append(m, [3]uint32{id(f[0]), id(f[1]), id(f[2])})
	}
	return m, nil
}

// Inside translates an id of the reader's; ok is false where it has none inside.
func (m IDMap) Inside(outside uint32) (inside uint32, ok bool) {
	for _, e := range m {
		if outside >= e[1] && outside-e[1] < e[2] {
			return e[0] + outside - e[1], true
		}
	}
	return 0, false
}
