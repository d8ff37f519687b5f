package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

// Files of every group.
const (
	procs       = "cgroup.procs"
	events      = "cgroup.events"
	freeze      = "cgroup.freeze"
	killFile    = "cgroup.kill"
	available   = "cgroup.controllers"
	subtree     = "cgroup.subtree_control"
	eventFrozen = "frozen"
	eventAlive  = "populated"
)

// Family begins the names of groups that go with the last group in them.
const Family = "libpod_pod_"

// Group is a control group that this process holds.
type Group struct {
	dir  string
	file *os.File // the directory, with the lock
}

// sweepWait is how long a sweeper may have a group that it is about to remove.
const sweepWait = time.Second

// Make makes the group dir, and what is missing above it, and holds it. A left-over
// of the same name goes first; one that somebody holds, and keeps, is fs.ErrExist.
func Make(dir string) (*Group, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("make control group: %w", err)
	}
	for until := time.Now().Add(sweepWait); ; {
		err := os.Mkdir(dir, 0o755)
		if errors.Is(err, fs.ErrExist) {
			if err := Collect(dir); err != nil {
				return nil, err
			}
			if err = os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) && time.Now().Before(until) {
				<-time.After(time.Millisecond)
				continue
			}
		}
		if errors.Is(err, fs.ErrNotExist) && time.Now().Before(until) { // a family's last member has just gone
			if err = os.MkdirAll(filepath.Dir(dir), 0o755); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, fmt.Errorf("make control group: %w", err)
		}
		g, err := hold(dir)
		if err != nil || g != nil {
			return g, err
		}
		// A sweeper took it for a left-over before it was locked.
	}
}

// MakeEmpty makes the group dir, and what is missing above it, or takes one that is
// there and has no processes; made tells which. It does not hold it: who makes it
// may end.
func MakeEmpty(dir string) (g *Group, made bool, err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, false, fmt.Errorf("make control group: %w", err)
	}
	err = os.Mkdir(dir, 0o755)
	if made = err == nil; errors.Is(err, fs.ErrExist) {
		var pids []int
		if pids, err = Processes(dir); err == nil && len(pids) > 0 {
			err = fmt.Errorf("%s: has processes already", dir)
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("make control group: %w", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, made, fmt.Errorf("make control group: %w", err)
	}
	return &Group{dir, f}, made, nil
}

// RemoveDir is Group.Remove for a group that nobody holds. One that is gone is no
// error.
func RemoveDir(dir string) error { return remove(dir) }

// hold locks a group; nil if somebody else was faster, or it is gone.
func hold(dir string) (*Group, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // it is nobody's fault
	}
	if err != nil {
		return nil, fmt.Errorf("hold control group: %w", err)
	}
	err = sys.TryLock(f)
	if err == nil {
		// Not of another directory, and not of one that was removed in between.
		if mine, serr := f.Stat(); serr == nil {
			if now, serr := os.Lstat(dir); serr == nil && os.SameFile(mine, now) {
				return &Group{dir, f}, nil
			}
		}
	}
	f.Close()
	if err != nil && !errors.Is(err, sys.ErrLocked) {
		return nil, err
	}
	return nil, nil //nolint:nilnil // as above
}

// Adopt is a group that another process made, and handed over with its open
// directory.
func Adopt(dir string, file *os.File) *Group { return &Group{dir, file} }

// Dir is the group's directory.
func (g *Group) Dir() string { return g.dir }

// File is the open directory, for clone3(2). Its lock says that the group is looked
// after: it is handed over with the duty.
func (g *Group) File() *os.File { return g.file }

// Close lets go of a group and leaves it, for who else has it open.
func (g *Group) Close() error { return g.file.Close() }

// Enter moves processes into the group, all their threads with them. One that has
// ended is no error. The kernel may take some ten milliseconds for the first.
func (g *Group) Enter(pids ...int) error { return Move(g.dir, pids...) }

// Move is Enter for a group that is not held.
func Move(dir string, pids ...int) error {
	for _, pid := range pids {
		err := write(dir, procs, strconv.Itoa(pid))
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("move process %d: %w", pid, err)
		}
	}
	return nil
}

// Remove ends every process in the group and removes it with all groups below.
func (g *Group) Remove() error {
	defer g.file.Close()
	return remove(g.dir)
}

// endWait is how long processes may take to end after SIGKILL. Most are gone at
// once; one may hang in the kernel.
const endWait = 5 * time.Second

func remove(dir string) error {
	err := empty(dir)
	if parent := filepath.Dir(dir); err == nil && strings.HasPrefix(filepath.Base(parent), Family) {
		_ = os.Remove(parent) // which fails as long as there is another group in it
	}
	return err
}

// empty removes a group with what is in it.
func empty(dir string) error {
	err := removeTree(dir)
	if !errors.Is(err, syscall.EBUSY) {
		return err
	}
	if err := write(dir, killFile, "1"); err != nil && !errors.Is(err, fs.ErrNotExist) { // Linux 5.14
		return fmt.Errorf("end the processes of a control group: %w", err)
	}
	if err := await(dir, eventAlive, 0, endWait); err != nil {
		return fmt.Errorf("end the processes of a control group: %w", err)
	}
	return removeTree(dir)
}

// removeTree removes the groups below dir first. One that is gone is no error.
func removeTree(dir string) error {
	err := os.Remove(dir)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	entries, rerr := os.ReadDir(dir)
	if rerr != nil {
		return fmt.Errorf("remove control group: %w", rerr)
	}
	inner := false
	for _, e := range entries {
		if e.IsDir() {
			inner = true
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if inner {
		err = os.Remove(dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove control group: %w", err)
	}
	return nil
}

// Sweep removes the groups below dir that begin with prefix and that nobody holds.
// It is quick where there are none.
func Sweep(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("sweep control groups: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), prefix) {
			errs = append(errs, Collect(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// Collect removes the group dir if nobody holds it. One that is gone is no error.
func Collect(dir string) error {
	g, err := hold(dir)
	if err != nil || g == nil {
		return err
	}
	return g.Remove()
}

// Freeze stops every process of a group where it is, and returns when all stand. It
// gives up, and lets them run again, after wait.
func Freeze(dir string, wait time.Duration) error {
	if err := write(dir, freeze, "1"); err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	if err := await(dir, eventFrozen, 1, wait); err != nil {
		return errors.Join(fmt.Errorf("freeze: %w", err), Thaw(dir))
	}
	return nil
}

// Thaw lets the processes of a frozen group go on.
func Thaw(dir string) error {
	if err := write(dir, freeze, "0"); err != nil {
		return fmt.Errorf("thaw: %w", err)
	}
	return nil
}

// Frozen reports whether the group is frozen, or about to be. One that is gone is
// not, nor is the empty name.
func Frozen(dir string) (bool, error) {
	if dir == "" {
		return false, nil
	}
	s, err := read(dir, freeze)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return strings.TrimSpace(s) == "1", err
}

// await waits until key of cgroup.events has a value.
func await(dir, key string, want uint64, limit time.Duration) error {
	f, err := os.Open(filepath.Join(dir, events))
	if err != nil {
		return err
	}
	defer f.Close()
	for until := time.Now().Add(limit); ; {
		buf := make([]byte, 256)
		n, err := f.ReadAt(buf, 0)
		if n == 0 && err != nil {
			return err
		}
		if have, ok := flat(string(buf[:n]))[key]; ok && have == want {
			return nil
		}
		if err := sys.AwaitNotice(f, time.Until(until)); err != nil {
			return err
		}
	}
}

// Processes returns the pids in a group and below it, as this process sees them.
func Processes(dir string) ([]int, error) {
	var pids []int
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went meanwhile
		}
		if err != nil || !d.IsDir() {
			return err
		}
		list, err := read(p, procs)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for f := range strings.FieldsSeq(list) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return err
	})
	return pids, err
}

// write writes a file of cgroupfs in one write(2).
func write(dir, file, value string) error {
	return sys.WriteProc(filepath.Join(dir, file), value)
}

// read reads a file of cgroupfs. A group that is removed meanwhile is
// fs.ErrNotExist, like one that was before.
func read(dir, file string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if errors.Is(err, syscall.ENODEV) {
		err = fmt.Errorf("%s: %w", dir, fs.ErrNotExist)
	}
	return string(data), err
}

// flat reads lines "key value" (kernel doc, "Flat keyed").
func flat(s string) map[string]uint64 {
	m := map[string]uint64{}
	for line := range strings.Lines(s) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			m[key] = n
		}
	}
	return m
}
