package container

import (
	"errors"
	"io/fs"
	"time"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/proctab"
	"github.com/nook-containers/nook/pkg/sys"
)

// Stats is what a container uses, at one moment. Of one that does not run all is
// zero.
type Stats struct {
	*state.Container
	cgroups.Usage

	At      time.Time
	Running time.Duration // since its start
}

// Measure reads what c uses: from its control group and, where that lacks a
// controller or there is none, from its processes. What neither tells, block IO, is
// left out.
func Measure(c *state.Container) (Stats, error) {
	s := Stats{Container: c, At: time.Now()}
	st, err := c.Status()
	if err != nil || !st.Alive() {
		return s, err
	}
	s.Running = state.Since(st.Run.Started)
	counted := false
	if st.Run.Cgroup != "" {
		s.Usage, err = cgroups.ReadUsage(st.Run.Cgroup)
		counted = err == nil
	}
	if !counted || !s.HasMemory || !s.HasPIDs {
		err = s.addProcesses(st.Run, counted)
	}
	if errors.Is(err, fs.ErrNotExist) { // it has just ended
		return Stats{Container: c, At: s.At}, nil
	}
	if err == nil && s.MemoryLimit == 0 {
		_, s.MemoryLimit, err = sys.UptimeMemory()
	}
	return s, err
}

// addProcesses adds up those that live; their time has that of those they waited
// for. counted: the control group knows the time.
func (s *Stats) addProcesses(run state.Run, counted bool) error { //nolint:revive // a fact
	all, err := proctab.List(run.PID)
	if err != nil {
		return err
	}
	if begun, err := state.StartTime(run.PID); err != nil || begun != run.PIDStart {
		return fs.ErrNotExist
	}
	if !ocispec.OwnPIDs(s.Spec) || s.Spec.Infra {
		if all, err = ofMounts(all, run); err != nil {
			return err
		}
	}
	var cpu time.Duration
	var memory, threads uint64
	for i := range all {
		cpu += all[i].CPU + all[i].ChildCPU
		memory += all[i].RSS
		threads += uint64(all[i].Threads) //nolint:gosec // a number
	}
	if !counted {
		s.CPU = cpu
	}
	if !s.HasMemory {
		s.Memory, s.HasMemory = memory, true
	}
	if !s.HasPIDs {
		s.PIDs, s.HasPIDs = threads, true
	}
	return nil
}
