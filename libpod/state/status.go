package state

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nook-containers/nook/pkg/cgroups"
)

// Status words, as podman-ps(1) and docker-ps(1) print them.
const (
	Created = "created"
	Running = "running"
	Exited  = "exited"
	// Initialized containers have all but their command running.
	Initialized = "initialized"
	// Paused containers run, and their processes stand still.
	Paused = "paused"
	// Restarting containers have ended, and their monitor is about to start them
	// again.
	Restarting = "restarting"
)

// killedExit is the exit code of a container whose monitor died: the kernel
// kills init with it (128 + SIGKILL).
const killedExit = 137

// Status is what is true of a container now.
type Status struct {
	Word    string // Created, Initialized, Running, Paused, Exited or Restarting
	Monitor int    // pid, 0 unless a process looks after the container
	Run     Run    // latest run; zero if it never started
}

// Alive reports whether the container has processes, standing still or not.
func (s Status) Alive() bool { return s.Word == Running || s.Word == Paused }

// Status derives the present state from the monitor's lock and the run record.
func (c *Container) Status() (Status, error) {
	// The lock first: a monitor writes run.json before it lets go.
	pid, err := c.Monitor()
	if err != nil {
		return Status{}, err
	}
	run, ran, err := c.LastRun()
	if err != nil {
		return Status{}, err
	}
	st := Status{Monitor: pid, Run: run, Word: Created}
	switch {
	case ran && run.Initialized && run.Finished.IsZero():
		if st.Word = Initialized; pid == 0 { // and nothing of it is left
			st = Status{Word: Created}
		}
	case ran && pid != 0 && run.Finished.IsZero():
		st.Word = runningWord(run)
	case ran && pid != 0 && run.Again:
		st.Word = Restarting
	case ran:
		st.Word = Exited
		if run.Finished.IsZero() {
			st.Run = lost(run)
		}
	}
	return st, nil
}

// runningWord tells a container that runs from one that stands still.
func runningWord(r Run) string {
	if frozen, err := cgroups.Frozen(r.Cgroup); err == nil && frozen {
		return Paused
	}
	return Running
}

// lost completes the record of a run whose monitor could not.
func lost(r Run) Run {
	r.ExitCode = killedExit
	r.Finished = r.Started
	r.Error = "the container's monitor was killed, and the container with it"
	if boot, err := BootID(); err == nil && boot != r.Boot {
		r.Error = "the host was restarted while the container ran"
	}
	return r
}

// BootID identifies this boot (random(4), /proc/sys/kernel/random/boot_id).
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Since returns how long ago t was, never negative: the clock may have been set
// back.
func Since(t time.Time) time.Duration { return max(0, time.Since(t)) }
