package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// idle prints how much memory a container takes that only waits, with the default
// network and without any: the proportional set size (proc_pid_smaps(5)) of every process that its start left
// behind, but its own.
func (b *bench) idle(w io.Writer) error {
	fmt.Fprintln(w, "IDLE CONTAINER\tPSS (MB)\tRATIO\tBAR (MB)\tAIM (MB)\t")
	for _, flags := range []string{"", "--network none "} {
		if err := b.idleWith(w, flags); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) idleWith(w io.Writer, flags string) error {
	name := "run -d " + flags
	if !b.wants("idle " + name) {
		return nil
	}
	var own float64
	for _, c := range b.both("run -d --name idle "+flags+"localhost/bench sleep 1000", "") {
		if !b.have[c.tool] {
			continue
		}
		before := processes()
		if out, err := exec.Command("sh", "-c", c.line).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", c.line, err, out)
		}
		time.Sleep(time.Second) // until the process that started it is the one that looks after it, and is seen
		total := 0.0
		for pid, name := range processes() {
			if before[pid] == "" && name != "sleep" {
				total += b.settled(pid)
			}
		}
		if c.tool == "nook" {
			own = total
			fmt.Fprintf(w, "%s\tnook %.1f\t\t4\t2\t\n", name, total)
		} else {
			fmt.Fprintf(w, "\t%s %.1f\t%.1f\t\t\t\n", c.tool, total, total/own)
		}
		program, _, _ := strings.Cut(c.line, " run ")
		if out, err := exec.Command("sh", "-c", program+" rm -f -t 0 idle").CombinedOutput(); err != nil {
			return fmt.Errorf("%s rm: %w: %s", program, err, out)
		}
	}
	return nil
}

// processes lists the processes of ordinary users and their names.
func processes() map[string]string {
	list := map[string]string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		name, err := os.ReadFile(filepath.Join(d, "comm"))
		var st syscall.Stat_t
		if err == nil && syscall.Stat(d, &st) == nil && st.Uid != 0 {
			list[filepath.Base(d)] = strings.TrimSpace(string(name))
		}
	}
	return list
}

// settled is pss when the process has given back what its start took.
func (b *bench) settled(pid string) float64 {
	least := b.pss(pid)
	for range 40 { // a network waits until its guests are quiet
		time.Sleep(200 * time.Millisecond)
		least = min(least, b.pss(pid))
	}
	return least
}

// pss is a process's proportional set size in MB, 0 where it has ended. A process
// that hides its memory shows it to who has the capabilities of its user namespace;
// that of another tool is not nook's, and shows it to its user.
func (b *bench) pss(pid string) float64 {
	path := filepath.Join("/proc", pid, "smaps_rollup")
	out, err := os.ReadFile(path)
	if err != nil {
		out, err = exec.Command(b.nook, "unshare", "cat", path).Output()
	}
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(out), "\nPss:")
	var kB float64
	if _, err := fmt.Sscan(after, &kB); err != nil {
		return 0
	}
	return kB / 1000
}
