package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys"
)

// StartTime returns field 22 of /proc/PID/stat, clock ticks since boot: with the
// pid it names one process for good (proc_pid_stat(5)).
func StartTime(pid int) (uint64, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("read the start of process %d: %w", pid, err)
	}
	_, rest, ok := strings.Cut(string(data[strings.LastIndexByte(string(data), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return 0, fmt.Errorf("read the start of process %d: unexpected format", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// Signal signals the first process of the latest run of c, and nobody else: the
// pid must still have the start time on record when a descriptor of it is open. It
// reports false where there is no such process: it is gone, or not there yet.
func (c *Container) Signal(sig syscall.Signal) (sent bool, err error) {
	run, ran, err := c.LastRun()
	if err != nil || !ran || !run.Finished.IsZero() {
		return false, err
	}
	p, err := sys.PidfdOpen(run.PID)
	if errors.Is(err, syscall.ESRCH) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer p.Close()
	if begun, err := StartTime(run.PID); err != nil || begun != run.PIDStart {
		return false, nil // the pid is another process by now
	}
	err = sys.PidfdSignal(p, sig)
	if errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("signal %s: %w", c.Name, err)
	}
	return true, nil
}

// OpenLive opens a file below /proc/PID of the first process of a running
// container, and of no other: the process must have the start time on record after
// the file is open too. It returns nil where the container does not run.
func (c *Container) OpenLive(name string) (*os.File, error) {
	st, err := c.Status()
	if err != nil || !st.Alive() {
		return nil, err
	}
	f, err := st.Run.Open(name)
	if err != nil {
		return nil, fmt.Errorf("look into %s: %w", c.Name, err)
	}
	return f, nil
}

// Open opens a file below /proc/PID of the run's first process, and of no other. It
// returns nil where that has ended.
func (r Run) Open(name string) (*os.File, error) {
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(r.PID), name))
	begun, berr := StartTime(r.PID)
	if berr != nil || begun != r.PIDStart {
		if f != nil {
			f.Close()
		}
		return nil, nil //nolint:nilnil // it ended meanwhile
	}
	return f, err
}
