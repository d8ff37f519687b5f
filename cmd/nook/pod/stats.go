package pod

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/container"
	libcontainer "github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/state"
)

type statsOptions struct {
	targets
	container.Stats
}

func newStats(f *cmdutil.Factory) *cobra.Command {
	o := &statsOptions{targets: targets{verb: "stats"}}
	cmd := &cobra.Command{
		Use:   "stats [flags] [POD...]",
		Short: "Show what the containers of pods use, again and again",
		Long: `Show what the running containers of pods use of the machine, those of all
running pods unless some are named, again and again until interrupted. The
figures are those of the command stats.`,
		Example: "  nook pod stats\n  nook pod stats --no-stream --format '{{.Pod}} {{.Name}} {{.Mem}}' web",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.stats(cmd.Context(), f, args)
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.all, "all", "a", false, "containers that do not run, too")
	fl.BoolVarP(&o.latest, "latest", "l", false, "of the pod made last")
	o.Add(fl)
	return cmd
}

func (o *statsOptions) stats(ctx context.Context, f *cmdutil.Factory, args []string) error {
	stopped := o.all
	if len(args) == 0 && !o.latest {
		o.all = true
	}
	pods := map[string]*pod.Pod{}
	return o.Show(ctx, f, func(measure func(*state.Container) error) error {
		found, err := o.find(f, args)
		if err != nil {
			return err
		}
		var errs []error
		for _, t := range found {
			if t.err == nil {
				pods[t.pod.ID] = t.pod
				t.err = measureMembers(t.pod, stopped, measure)
			}
			errs = append(errs, t.err)
		}
		return errors.Join(errs...)
	}, func(rows []container.StatsRow) error { return o.render(f, rows, pods) })
}

func measureMembers(p *pod.Pod, stopped bool, measure func(*state.Container) error) error { //nolint:revive // what is wanted
	members, err := libcontainer.PodMembers(p)
	errs := []error{err}
	for _, m := range members {
		if m.Alive() || stopped {
			errs = append(errs, measure(m.Container))
		}
	}
	return errors.Join(errs...)
}

func (o *statsOptions) render(f *cmdutil.Factory, rows []container.StatsRow, pods map[string]*pod.Pod) error {
	all := make([]statsRow, len(rows))
	for i, r := range rows {
		all[i] = statsRow{r, pods[r.PodID()]}
	}
	headings := container.StatsHeadings()
	headings["CPU"], headings["Mem"] = headings["CPUPerc"], headings["MemPerc"]
	return cmdutil.Render(f.Out, o.Format, cmdutil.List[statsRow]{
		Default:  "{{.Pod}}\t{{.CID}}\t{{.Name}}\t{{.CPU}}\t{{.MemUsage}}\t{{.Mem}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDS}}",
		Headings: headings,
		Object:   statsRow.object,
	}, all)
}

// statsRow is one line; its methods are the fields of --format, in podman's names.
type statsRow struct {
	container.StatsRow

	pod *pod.Pod
}

func (r statsRow) Pod() string { return r.pod.Short() }
func (r statsRow) CID() string { return r.ID() }
func (r statsRow) Mem() string { return r.MemPerc() }

// statsRecord is one container of --format json, in podman's field names.
type statsRecord struct {
	CPU, MemUsage, MemUsageBytes, Mem, NetIO, BlockIO, PIDS, Pod, CID, Name string
}

func (r statsRow) object() any {
	return statsRecord{
		CPU: r.CPU(), MemUsage: r.MemUsage(), MemUsageBytes: r.MemUsageBytes(), Mem: r.Mem(), NetIO: r.NetIO(), BlockIO: r.BlockIO(),
		PIDS: r.PIDS(), Pod: r.Pod(), CID: r.CID(), Name: r.Name(),
	}
}
