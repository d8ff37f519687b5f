package monitor

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/sys"
)

// rounds bounds how often endAll looks: more than enough where nobody works
// against it.
const rounds = 100

// endAll kills what is left of a container whose processes do not end with the
// first one, because its pid namespace is not its own: those in its mount
// namespace. The open file keeps that namespace's number from being another's.
func (m *Monitor) endAll() {
	if m.Mounts == nil {
		return
	}
	mine, err := m.Mounts.Stat()
	if err != nil {
		return
	}
	for range rounds {
		found := inside(mine)
		for _, p := range found {
			_ = sys.PidfdSignal(p, syscall.SIGKILL) // it may have ended
		}
		for _, p := range found {
			sys.Ended(p, time.Second)
			p.Close()
		}
		if len(found) == 0 {
			return
		}
	}
}

// inside opens the processes in a mount namespace.
func inside(ns os.FileInfo) []*os.File {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []*os.File
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !isIn(pid, ns) {
			continue
		}
		p, err := sys.PidfdOpen(pid)
		if err != nil {
			continue
		}
		if !isIn(pid, ns) { // another process got the pid meanwhile
			p.Close()
			continue
		}
		found = append(found, p)
	}
	return found
}

func isIn(pid int, ns os.FileInfo) bool {
	theirs, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "ns/mnt"))
	return err == nil && os.SameFile(theirs, ns)
}

// leavePod ends the pod of a container that was the last of it to run, where the
// pod's exit policy says so, and waits for that.
func (m *Monitor) leavePod() {
	pods := pod.Of(m.Container.Store())
	infra, err := pods.Last(m.Container)
	if err != nil || infra == nil {
		return // the pod is gone, or goes on
	}
	if st, err := infra.Status(); err != nil || st.Word != state.Running {
		return
	}
	if p, err := pods.Lookup(m.Container.Spec.Pod); err == nil {
		events.TellPod(p, events.Stop)
	}
	if sent, err := infra.Signal(syscall.SIGTERM); err == nil && sent {
		_ = infra.AwaitMonitor() // for those who hear of our end
	}
}
