package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/problem/remedy"
)

// Write is one file of a group to be written.
type Write struct {
	Controller string // that has the file; empty: every group has it
	File       string
	Value      string
	// Optional writes are of defaults: they are left out where the controller or
	// the file is missing.
	Optional bool
	Or       *Write // in place of this one where the kernel lacks the file; nil: none
}

// MissingError tells of a limit whose controller the user has not been given.
type MissingError struct {
	Controllers []string
	Dir         string // of the tree where they are missing
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("the cgroup controller %s is not delegated to you (%s)", strings.Join(e.Controllers, ", "), e.Dir)
}

// Needed are the controllers that writes cannot do without, sorted.
func Needed(writes []Write) []string {
	var need []string
	for _, w := range writes {
		if w.Controller != "" && !w.Optional && !slices.Contains(need, w.Controller) {
			need = append(need, w.Controller)
		}
	}
	slices.Sort(need)
	return need
}

// Available are the controllers that a group has.
func Available(dir string) ([]string, error) {
	s, err := read(dir, available)
	if err != nil {
		return nil, fmt.Errorf("read the controllers of a control group: %w", err)
	}
	return strings.Fields(s), nil
}

// Check returns a MissingError if a group made below dir could not have one of the
// controllers that writes need.
func Check(dir string, writes []Write) error {
	need := Needed(writes)
	if len(need) == 0 {
		return nil
	}
	have, err := Available(dir)
	if err != nil {
		return err
	}
	need = slices.DeleteFunc(need, func(c string) bool { return slices.Contains(have, c) })
	if len(need) == 0 {
		return nil
	}
	return missing(dir, need)
}

// missing adds what an administrator does about it (systemd.resource-control(5),
// Delegate=).
func missing(dir string, controllers []string) error {
	return problem.Hint(&MissingError{controllers, dir}, "run: %s; then log out of all sessions and in again", remedy.Delegate())
}

// Enable makes controllers available to the groups in dir, as far as they can be:
// in every directory from base, which is dir or above it, down to dir. Those of
// need must be; processes of base itself, which would be in the way, are then moved
// into a group beside. base has all of need: see Check.
func Enable(base, dir string, need []string) error {
	rel, err := filepath.Rel(base, dir)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return fmt.Errorf("control group %s: not below %s", dir, base)
	}
	if err := enableOne(base, need); err != nil {
		return err
	}
	at := base
	if rel != "." {
		for name := range strings.SplitSeq(rel, "/") {
			at = filepath.Join(at, name)
			if err := enableOne(at, need); err != nil {
				return err
			}
		}
	}
	return nil
}

// enableOne is Enable for one directory.
func enableOne(dir string, need []string) error {
	s, err := read(dir, subtree)
	if err != nil {
		return fmt.Errorf("enable cgroup controllers: %w", err)
	}
	on := strings.Fields(s)
	busy, err := hasMembers(dir)
	if err != nil {
		return fmt.Errorf("enable cgroup controllers: %w", err)
	}
	need = slices.DeleteFunc(slices.Clone(need), func(c string) bool { return slices.Contains(on, c) })
	if busy && len(need) > 0 {
		if err := Evacuate(dir, restName); err != nil {
			return err
		}
		busy = false
	}
	for _, c := range need {
		if err := write(dir, subtree, "+"+c); err != nil {
			return fmt.Errorf("enable the cgroup controller %s: %w", c, err)
		}
		on = append(on, c)
	}
	for _, c := range [...]string{"cpu", "io", "memory", "pids"} { // what "stats" shows
		if !busy && !slices.Contains(on, c) {
			_ = write(dir, subtree, "+"+c) // nobody asked for it
		}
	}
	return nil
}

// hasMembers reports whether dir has processes of its own that keep controllers
// from being handed down. The kernel refuses that for some controllers only: with
// the others dir becomes the root of a threaded subtree, and no process can be moved
// to a group below it any more (kernel doc, "Threads"). The tree's root is free of
// all that, and has no type.
func hasMembers(dir string) (bool, error) {
	if _, err := read(dir, "cgroup.type"); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	list, err := read(dir, procs)
	return list != "", err
}

// restName is the group that processes go to which stand in the way. It begins like no
// container's: those are swept, with all that is in them.
const restName = "nook.rest"

// Evacuate moves the processes of dir itself to the group name below it: groups
// with controllers enabled have none (kernel doc, "No Internal Process Constraint").
func Evacuate(dir, name string) error {
	rest := filepath.Join(dir, name)
	if err := os.Mkdir(rest, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make room in a control group: %w", err)
	}
	const rounds = 100 // somebody may be forking meanwhile
	for range rounds {
		list, err := read(dir, procs)
		if err != nil {
			return fmt.Errorf("make room in a control group: %w", err)
		}
		if list == "" {
			return nil
		}
		for pid := range strings.FieldsSeq(list) {
			if err := write(rest, procs, pid); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("make room in a control group: move process %s: %w", pid, err)
			}
		}
	}
	return fmt.Errorf("make room in a control group: %s: processes keep appearing", dir)
}

// Set writes limits.
func (g *Group) Set(writes []Write) error { return Set(g.dir, writes) }

// Set is Group.Set for a group that another process holds.
func Set(dir string, writes []Write) error {
	for i := range writes {
		if err := set(dir, &writes[i]); err != nil {
			return err
		}
	}
	return nil
}

func set(dir string, w *Write) error {
	err := write(dir, w.File, w.Value)
	if !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return fmt.Errorf("set limit: %s: write %q: %w", w.File, w.Value, cause(err))
		}
		return nil
	}
	switch {
	case w.Or != nil:
		return set(dir, w.Or)
	case w.Optional:
		return nil
	}
	if have, aerr := Available(dir); aerr == nil && w.Controller != "" && !slices.Contains(have, w.Controller) {
		return missing(dir, []string{w.Controller})
	}
	return fmt.Errorf("set limit: %s: this kernel has no such file", w.File)
}

// cause is the errno: the path is in the message already.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
