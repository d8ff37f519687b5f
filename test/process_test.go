package test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process belongs to a script if the script's directory shows in its
// environment (nook and its stages inherit NOOK_TEST), in its mounts (a
// container's root lies in the script's store), in its directories, or if its
// parent belongs to the script. The user may read all of it, for processes of
// sub-ids too: whoever made a user namespace has every capability in it.
type process struct {
	pid, ppid int
	name      string
	mine      bool
}

// processes returns the live processes that belong to dir, parents first where
// pids did not wrap.
func processes(dir string) []process {
	all := make(map[int]*process)
	// A mount that leaked to the host would show in every process there.
	files := []string{"environ", "mountinfo"}
	if host, err := os.ReadFile("/proc/self/mountinfo"); err != nil || bytes.Contains(host, []byte(dir)) {
		files = files[:1]
	}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if p := readProcess(pid, dir, files); p != nil {
				all[pid] = p
			}
		}
	}
	delete(all, os.Getpid())
	delete(all, os.Getppid()) // the reaper
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if parent := all[p.ppid]; !p.mine && parent != nil && parent.mine {
				p.mine, grown = true, true
			}
		}
	}
	var mine []process
	for _, p := range all {
		if p.mine {
			mine = append(mine, *p)
		}
	}
	slices.SortFunc(mine, func(a, b process) int { return a.pid - b.pid })
	return mine
}

// readProcess looks for dir in those files of a process and in its directories.
// It returns nil for a process that is gone or a zombie.
func readProcess(pid int, dir string, files []string) *process {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(proc + "/stat")
	if err != nil {
		return nil
	}
	// pid (comm) state ppid ...; comm may hold anything, a parenthesis too.
	end := bytes.LastIndexByte(stat, ')')
	f := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(f) < 2 || f[0] == "Z" || f[0] == "X" {
		return nil
	}
	p := &process{pid: pid, name: string(stat[:end+1])}
	p.ppid, _ = strconv.Atoi(f[1])
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(proc, file))
		p.mine = p.mine || err == nil && bytes.Contains(data, []byte(dir))
	}
	for _, link := range []string{"/cwd", "/root"} {
		to, err := os.Readlink(proc + link)
		p.mine = p.mine || err == nil && strings.HasPrefix(to, dir)
	}
	return p
}

// leftovers describes the processes that belong to dir, the registry aside.
func leftovers(dir string) []string {
	var out []string
	for _, p := range processes(dir) {
		cmdline, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), "cmdline"))
		out = append(out, p.name+" "+string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
	}
	return out
}

// settle waits for the processes of dir to end by themselves: what a command
// leaves to finish in the background (the kernel's teardown of a namespace, a
// monitor writing its record) may outlive it, but only for a moment.
func settle(dir string) []string {
	left := leftovers(dir)
	for range 200 {
		if len(left) == 0 {
			return nil
		}
		time.Sleep(25 * time.Millisecond)
		left = leftovers(dir)
	}
	return left
}

func killAll(dir string) {
	for range 20 {
		all := processes(dir)
		if len(all) == 0 {
			return
		}
		for _, p := range all {
			if err := syscall.Kill(p.pid, syscall.SIGKILL); errors.Is(err, syscall.EPERM) {
				continue // of a sub-id: dies with the init of its pid namespace
			}
		}
		time.Sleep(25 * time.Millisecond)
	}
}
