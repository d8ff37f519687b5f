package userns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/nook-containers/nook/pkg/sys"
)

// create makes the namespace. The child boots while the maps are written.
func (s *starter) create(g *gate) (*Process, error) {
	id, _, err := s.host.user(uint32(os.Geteuid()), uint32(os.Getegid()))
	if err != nil {
		return nil, err
	}
	ids, err := s.host.subIDs(id)
	if err != nil {
		return nil, err
	}
	m, err := PlanMap(id, ids)
	if err != nil {
		return nil, err
	}
	s.hostIDs(int(id.UID), int(id.GID))
	write := func(pid int) error { return s.mapWithHelpers(pid, m) }
	if m.Single() {
		write = func(pid int) error { return mapSingle(pid, m) }
	}
	p, err := s.run(g, func(f *sys.NSFork) {
		f.CloneFlags = sys.NewUser | sys.NewMount
		f.Ambient = true
		// The maps are written by way of /proc/PID, which is root's for a moment more
		// when a child that shares memory has executed its program.
		f.Share = false
	}, write)
	if err != nil {
		return nil, s.explain(err)
	}
	if m.Single() {
		p.Notice, err = s.singleNotice()
	}
	return p, err
}

// mapSingle writes the map that needs no privilege: the user's own ids. The
// kernel demands that setgroups(2) is given up first (user_namespaces(7)).
func mapSingle(pid int, m Map) error {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	for _, w := range []struct{ file, text string }{
		{"setgroups", "deny"},
		{"uid_map", formatMap(m.UIDs)},
		{"gid_map", formatMap(m.GIDs)},
	} {
		if err := sys.WriteProc(dir+w.file, w.text); err != nil {
			return &mapError{Failure{Step: "write " + w.file, Err: err}}
		}
	}
	return nil
}

// A mapError is a Failure of writing a map.
type mapError struct{ Failure }

func (e *mapError) Unwrap() error { return e.Err }

// mapWithHelpers runs newuidmap and newgidmap at the same time.
func (s *starter) mapWithHelpers(pid int, m Map) error {
	u, err := s.startHelper("newuidmap", pid, m.UIDs)
	if err != nil {
		return err
	}
	g, err := s.startHelper("newgidmap", pid, m.GIDs)
	if err != nil {
		return errors.Join(err, u.stop())
	}
	_, uerr := u.wait()
	_, gerr := g.wait()
	return errors.Join(helperFailure(u, uerr), helperFailure(g, gerr))
}

func (s *starter) startHelper(name string, pid int, m []Extent) (*tool, error) {
	exe := s.host.find(name)
	if exe == "" {
		return nil, &mapError{Failure{Step: name, Err: fs.ErrNotExist}}
	}
	args := []string{strconv.Itoa(pid)}
	for _, e := range m {
		args = append(args, strconv.FormatUint(uint64(e.Inside), 10),
			strconv.FormatUint(uint64(e.Outside), 10), strconv.FormatUint(uint64(e.Size), 10))
	}
	t, err := startTool(exe, args...)
	if err != nil {
		return nil, &mapError{Failure{Step: name, Err: err}}
	}
	return t, nil
}

func helperFailure(t *tool, err error) error {
	if err == nil {
		return nil
	}
	f := Failure{Step: t.name, Err: err}
	if e, ok := errors.AsType[*toolError](err); ok {
		f.Output = e.output
	}
	return &mapError{f}
}

// singleNotice tells what the user loses without a range, and the remedy.
func (s *starter) singleNotice() (string, error) {
	f, err := s.host.Collect()
	if err != nil {
		return "", fmt.Errorf("look for subordinate ids: %w", err)
	}
	if len(f.SubIDs.UIDs)+len(f.SubIDs.GIDs) > 0 {
		return "running containers keep a user namespace with one id; the subordinate ids of " +
			f.name() + " count once they have all stopped", nil
	}
	lost := f.name() + " has no subordinate ids: files and processes in containers can belong to root only"
	if command := addRangeCommand(f.Identity, f.Free); command != "" {
		lost += ". Run: " + command
	}
	return lost, nil
}
