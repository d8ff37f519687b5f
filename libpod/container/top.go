package container

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/moby/sys/user"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/proctab"
	"github.com/nook-containers/nook/pkg/sys"
)

// Top returns the headings and rows of the processes of c. columns are as
// proctab.Columns reads them.
func Top(c *state.Container, columns []string) (headings []string, rows [][]string, err error) {
	cols, err := proctab.Columns(columns)
	if err != nil {
		return nil, nil, err
	}
	st, err := c.Status()
	if err != nil {
		return nil, nil, err
	}
	if !st.Alive() {
		return nil, nil, notRunning(c)
	}
	all, view, err := processes(st.Run)
	if errors.Is(err, fs.ErrNotExist) {
		err = notRunning(c)
	}
	if err != nil {
		return nil, nil, err
	}
	if !ocispec.OwnPIDs(c.Spec) || c.Spec.Infra {
		all, err = ofMounts(all, st.Run)
		if err != nil {
			return nil, nil, err
		}
	}
	for _, col := range cols {
		headings = append(headings, col.Header)
	}
	for i := range all {
		row := make([]string, len(cols))
		for j, col := range cols {
			row[j] = col.Value(view, &all[i])
		}
		rows = append(rows, row)
	}
	return headings, rows, nil
}

// processes reads those of a run, which must be that run still when all is read.
func processes(run state.Run) ([]proctab.Process, *proctab.View, error) {
	all, err := proctab.List(run.PID)
	if err != nil {
		return nil, nil, err
	}
	v := &proctab.View{Clock: time.Now()}
	if v.Now, v.Memory, err = sys.UptimeMemory(); err != nil {
		return nil, nil, err
	}
	if v.UIDs, err = proctab.ReadIDMap(run.PID, "uid_map"); err != nil {
		return nil, nil, err
	}
	if v.GIDs, err = proctab.ReadIDMap(run.PID, "gid_map"); err != nil {
		return nil, nil, err
	}
	v.User, v.Group = guestNames(run.PID)
	v.HostUser, v.HostGroup = hostNames()
	if begun, err := state.StartTime(run.PID); err != nil || begun != run.PIDStart {
		return nil, nil, fmt.Errorf("process %d: %w", run.PID, fs.ErrNotExist)
	}
	return all, v, nil
}

// ofMounts keeps the processes in the mount namespace of the run's first one: those
// of its container, where others are in the same pid namespace.
func ofMounts(all []proctab.Process, run state.Run) ([]proctab.Process, error) {
	mine, err := run.Open("ns/mnt")
	if err != nil || mine == nil {
		return nil, err
	}
	defer mine.Close()
	ns, err := mine.Stat()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(p proctab.Process) bool {
		theirs, err := os.Stat("/proc/" + strconv.Itoa(p.HostPID) + "/ns/mnt")
		return err != nil || !os.SameFile(ns, theirs)
	}), nil
}

// guestNames looks names up in the container's own files, as far as the user may
// read them: names are decoration.
func guestNames(pid int) (users, groups func(uint32) string) {
	root, err := os.Open("/proc/" + strconv.Itoa(pid) + "/root")
	if err != nil {
		return nil, nil
	}
	defer root.Close()
	passwd, err1 := readInRoot(root, "/etc/passwd")
	group, err2 := readInRoot(root, "/etc/group")
	if err1 != nil || err2 != nil {
		return nil, nil
	}
	return names(passwd, group)
}

// names finds the first name of an id.
func names(passwd, group []byte) (users, groups func(uint32) string) {
	uids, gids := map[uint32]string{}, map[uint32]string{}
	if list, err := user.ParsePasswd(bytes.NewReader(passwd)); err == nil {
		for _, u := range slices.Backward(list) {
			uids[uint32(u.Uid)] = u.Name //nolint:gosec // what does not fit is nobody's id
		}
	}
	if list, err := user.ParseGroup(bytes.NewReader(group)); err == nil {
		for _, g := range slices.Backward(list) {
			gids[uint32(g.Gid)] = g.Name //nolint:gosec // as above
		}
	}
	return func(id uint32) string { return uids[id] }, func(id uint32) string { return gids[id] }
}

// hostNames are the host's own names of ids.
func hostNames() (users, groups func(uint32) string) {
	passwd, _ := os.ReadFile("/etc/passwd") // without it there are numbers
	group, _ := os.ReadFile("/etc/group")
	return names(passwd, group)
}
