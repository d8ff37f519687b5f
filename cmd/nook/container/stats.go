package container

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/state"
)

type statsOptions struct {
	targets
	Stats
	noTrunc bool
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
	o.Add(fl)
	fl.BoolVar(&o.noTrunc, "no-trunc", false, "do not shorten ids")
	return cmd
}

func (o *statsOptions) stats(ctx context.Context, f *cmdutil.Factory, args []string) error {
	s, err := f.State()
	if err != nil {
		return err
	}
	if len(args) == 0 && !o.all && !o.latest {
		o.filters = []string{"status=" + state.Running, "status=" + state.Paused}
	}
	return o.Show(ctx, f, func(show func(*state.Container) error) error {
		found, err := o.find(f, s, args)
		if err != nil {
			return err
		}
		var errs []error
		for _, t := range found {
			if t.err == nil {
				t.err = show(t.c)
			}
			errs = append(errs, t.err)
		}
		return errors.Join(errs...)
	}, func(rows []StatsRow) error { return o.render(f, rows) })
}

func (o *statsOptions) render(f *cmdutil.Factory, rows []StatsRow) error {
	for i := range rows {
		rows[i].long = o.noTrunc
	}
	return cmdutil.Render(f.Out, o.Format, cmdutil.List[StatsRow]{
		Default:  "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}\t{{.CPUTime}}\t{{.AvgCPU}}",
		Headings: StatsHeadings(),
		Object:   StatsRow.object,
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

func (r StatsRow) object() any {
	return statsRecord{
		ID: r.ID(), Name: r.Name(), CPUTime: r.CPUTime(), CPUPercent: r.CPUPerc(), AvgCPU: r.AvgCPU(), MemUsage: r.MemUsage(),
		MemPercent: r.MemPerc(), NetIO: r.NetIO(), BlockIO: r.BlockIO(), PIDs: r.PIDs(),
	}
}
