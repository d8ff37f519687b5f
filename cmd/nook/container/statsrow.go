package container

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/term"
	"github.com/nook-containers/nook/pkg/units"
)

// Stats shows, again and again, what containers use: those of "stats", or a pod's.
type Stats struct {
	Format            string
	interval          int
	noStream, noReset bool
}

// Add defines the flags.
func (o *Stats) Add(fl *pflag.FlagSet) {
	fl.StringVar(&o.Format, "format", "", "json, a Go template, or table TEMPLATE")
	fl.IntVarP(&o.interval, "interval", "i", 5, "seconds between two readings")
	fl.BoolVar(&o.noStream, "no-stream", false, "only once")
	fl.BoolVar(&o.noReset, "no-reset", false, "do not clear the screen")
}

// Show measures the containers that each passes on, and has the result shown. each
// looks them up again every time: they come and go.
func (o *Stats) Show(ctx context.Context, f *cmdutil.Factory, each func(measure func(*state.Container) error) error, show func([]StatsRow) error) error {
	if o.interval <= 0 {
		return fmt.Errorf("--interval %d: want seconds, 1 or more", o.interval)
	}
	before := map[string]container.Stats{}
	tick := time.NewTicker(time.Duration(o.interval) * time.Second)
	defer tick.Stop()
	for {
		var rows []StatsRow
		err := each(func(c *state.Container) error {
			now, err := container.Measure(c)
			if err != nil {
				return fmt.Errorf("%s: %w", c.Name, err)
			}
			rows = append(rows, StatsRow{statsRow{now: now, before: before[c.ID]}})
			return nil
		})
		if err != nil {
			return err
		}
		if !o.noStream && !o.noReset && term.IsTerminal(f.Out) {
			fmt.Fprint(f.Out, clearScreen)
		}
		if err := show(rows); err != nil || o.noStream {
			return err
		}
		before = map[string]container.Stats{}
		for _, r := range rows {
			before[r.now.ID] = r.now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// clearScreen moves to the top left and erases what is below (console_codes(4)).
const clearScreen = "\x1b[H\x1b[J"

// StatsHeadings are those of StatsRow's columns that have more than their name.
func StatsHeadings() map[string]string {
	return map[string]string{
		"CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %", "NetIO": "NET IO", "BlockIO": "BLOCK IO",
		"CPUTime": "CPU TIME", "AvgCPU": "AVG CPU %", "MemUsageBytes": "MEM USAGE / LIMIT", "ContainerID": "CONTAINER ID",
	}
}

// StatsRow is a row as Show passes it on.
type StatsRow struct{ statsRow }

// statsRow is one line; its methods are the fields of --format, in podman's and
// Docker's names.
type statsRow struct {
	now, before container.Stats // before is zero the first time
	long        bool
}

const unknown = "-- / --"

func (r statsRow) ID() string {
	if r.long {
		return r.now.ID
	}
	return r.now.Short()
}

func (r statsRow) ContainerID() string { return r.ID() }
func (r statsRow) Name() string        { return r.now.Name }

// PodID is empty for a container of no pod.
func (r statsRow) PodID() string     { return r.now.Spec.Pod }
func (r statsRow) Container() string { return r.now.Name }

// CPUPerc is of one processor, since the last reading or, the first time, since the
// container's start.
func (r statsRow) CPUPerc() string {
	used, over := r.now.CPU, r.now.Running
	if !r.before.At.IsZero() && r.before.CPU <= used {
		used, over = used-r.before.CPU, r.now.At.Sub(r.before.At)
	}
	return percent(float64(used), float64(over))
}

func (r statsRow) CPU() string     { return r.CPUPerc() }
func (r statsRow) AvgCPU() string  { return percent(float64(r.now.CPU), float64(r.now.Running)) }
func (r statsRow) CPUTime() string { return r.now.CPU.Round(time.Microsecond).String() }
func (r statsRow) UpTime() string  { return r.now.Running.Round(time.Second).String() }

func (r statsRow) MemUsage() string {
	if !r.now.HasMemory {
		return unknown
	}
	return amount(r.now.Memory) + " / " + amount(r.now.MemoryLimit)
}

func (r statsRow) MemUsageBytes() string {
	if !r.now.HasMemory {
		return unknown
	}
	return fmt.Sprintf("%s / %s", units.Binary(r.now.Memory), units.Binary(r.now.MemoryLimit))
}

func (r statsRow) MemLimit() uint64 { return r.now.MemoryLimit }
func (r statsRow) MemPerc() string {
	return percent(float64(r.now.Memory), float64(r.now.MemoryLimit))
}

// NetIO is not counted: a container's network namespace has nothing but loopback, or
// is the host's.
func (r statsRow) NetIO() string { return unknown }

func (r statsRow) BlockIO() string {
	if !r.now.HasIO {
		return unknown
	}
	return amount(r.now.Read) + " / " + amount(r.now.Written)
}

func (r statsRow) PIDs() string {
	if !r.now.HasPIDs {
		return "--"
	}
	return fmt.Sprint(r.now.PIDs)
}

func (r statsRow) PIDS() string { return r.PIDs() }

func amount(n uint64) string {
	return units.Compact(int64(n)) //nolint:gosec // a size
}

func percent(part, whole float64) string {
	if whole <= 0 {
		return "0.00%"
	}
	return fmt.Sprintf("%.2f%%", 100*part/whole)
}
