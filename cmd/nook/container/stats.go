package container

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/term"
	"github.com/nook-containers/nook/pkg/units"
)

type statsOptions struct {
	targets
	format                     string
	interval                   int
	noStream, noReset, noTrunc bool
}

func newStats(f *cmdutil.Factory) *cobra.Command {
	o := &statsOptions{targets: targets{verb: "stats"}}
	cmd := &cobra.Command{
		Use:   "stats [flags] [CONTAINER...]",
		Short: "Show what containers use, again and again",
		Long: `Show what containers use of the machine, those that run unless others are
named, again and again until interrupted.

The figures are those of the container's control group. Where the user was not
given a controller, memory and threads are added up over the container's
processes; what nothing tells is "-- / --".`,
		Example: "  nook stats\n  nook stats --no-stream --format '{{.Name}} {{.CPUPerc}}' web",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.stats(cmd.Context(), f, args)
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.all, "all", "a", false, "containers that do not run, too")
	fl.BoolVarP(&o.latest, "latest", "l", false, "of the container made last")
	fl.StringVar(&o.format, "format", "", "json, a Go template, or table TEMPLATE")
	fl.IntVarP(&o.interval, "interval", "i", 5, "seconds between two readings")
	fl.BoolVar(&o.noStream, "no-stream", false, "only once")
	fl.BoolVar(&o.noReset, "no-reset", false, "do not clear the screen")
	fl.BoolVar(&o.noTrunc, "no-trunc", false, "do not shorten ids")
	return cmd
}

func (o *statsOptions) stats(ctx context.Context, f *cmdutil.Factory, args []string) error {
	if o.interval <= 0 {
		return fmt.Errorf("--interval %d: want seconds, 1 or more", o.interval)
	}
	s, err := f.State()
	if err != nil {
		return err
	}
	if len(args) == 0 && !o.all && !o.latest {
		o.filters = []string{"status=" + state.Running, "status=" + state.Paused}
	}
	before := map[string]container.Stats{}
	tick := time.NewTicker(time.Duration(o.interval) * time.Second)
	defer tick.Stop()
	for {
		now, err := o.measure(f, s, args)
		if err != nil {
			return err
		}
		if err := o.show(f, now, before); err != nil || o.noStream {
			return err
		}
		before = map[string]container.Stats{}
		for _, m := range now {
			before[m.ID] = m
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// measure looks the containers up again each time: they come and go.
func (o *statsOptions) measure(f *cmdutil.Factory, s state.Store, args []string) ([]container.Stats, error) {
	found, err := o.find(f, s, args)
	if err != nil {
		return nil, err
	}
	var list []container.Stats
	var errs []error
	for _, t := range found {
		if t.err != nil {
			errs = append(errs, t.err)
			continue
		}
		m, err := container.Measure(t.c)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t.c.Name, err))
			continue
		}
		list = append(list, m)
	}
	return list, errors.Join(errs...)
}

// clearScreen moves to the top left and erases what is below (console_codes(4)).
const clearScreen = "\x1b[H\x1b[J"

func (o *statsOptions) show(f *cmdutil.Factory, now []container.Stats, before map[string]container.Stats) error {
	rows := make([]statsRow, len(now))
	for i, m := range now {
		rows[i] = statsRow{m, before[m.ID], o.noTrunc}
	}
	if !o.noStream && !o.noReset && term.IsTerminal(f.Out) {
		fmt.Fprint(f.Out, clearScreen)
	}
	return cmdutil.Render(f.Out, o.format, cmdutil.List[statsRow]{
		Default: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}\t{{.CPUTime}}\t{{.AvgCPU}}",
		Headings: map[string]string{
			"CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %", "NetIO": "NET IO", "BlockIO": "BLOCK IO",
			"CPUTime": "CPU TIME", "AvgCPU": "AVG CPU %", "MemUsageBytes": "MEM USAGE / LIMIT", "ContainerID": "CONTAINER ID",
		},
		JSON: func(rows []statsRow) any { return statsJSON(rows) },
	}, rows)
}

// statsRecord is one container of --format json, in podman's field names.
type statsRecord struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	CPUTime    string `json:"cpu_time"`
	CPUPercent string `json:"cpu_percent"`
	AvgCPU     string `json:"avg_cpu"`
	MemUsage   string `json:"mem_usage"`
	MemPercent string `json:"mem_percent"`
	NetIO      string `json:"net_io"`
	BlockIO    string `json:"block_io"`
	PIDs       string `json:"pids"`
}

func statsJSON(rows []statsRow) []statsRecord {
	out := make([]statsRecord, 0, len(rows))
	for _, r := range rows {
		out = append(out, statsRecord{
			ID: r.ID(), Name: r.Name(), CPUTime: r.CPUTime(), CPUPercent: r.CPUPerc(), AvgCPU: r.AvgCPU(), MemUsage: r.MemUsage(),
			MemPercent: r.MemPerc(), NetIO: r.NetIO(), BlockIO: r.BlockIO(), PIDs: r.PIDs(),
		})
	}
	return out
}

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
func (r statsRow) Container() string   { return r.now.Name }

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
	return strings.ReplaceAll(units.Size(int64(n)), " ", "") //nolint:gosec // a size
}

func percent(part, whole float64) string {
	if whole <= 0 {
		return "0.00%"
	}
	return fmt.Sprintf("%.2f%%", 100*part/whole)
}
