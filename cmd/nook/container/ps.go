package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/units"
)

type psOptions struct {
	all, quiet, noTrunc, noHeading, latest bool
	size, pod, namespaces, external, sync  bool
	last, watch                            int
	format, sort                           string
	filters                                []string
}

func newPs(f *cmdutil.Factory) *cobra.Command {
	o := &psOptions{}
	cmd := &cobra.Command{
		Use:     "ps [flags]",
		Aliases: []string{"ls", "list"},
		Short:   "List containers",
		Long:    "List the running containers, or with --all every one, newest first.",
		Example: "  nook ps -a\n  nook ps -a --filter status=exited --format '{{.Names}} {{.ExitCode}}'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(f); err != nil {
				return err
			}
			if o.watch == 0 {
				return o.run(cmd.Context(), f)
			}
			return cmdutil.Every(cmd.Context(), f, time.Duration(o.watch)*time.Second, func() error { return o.run(cmd.Context(), f) })
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.all, "all", "a", false, "also containers that do not run")
	fl.BoolVar(&o.external, "external", false, "also containers that other tools keep in the store")
	fl.BoolVarP(&o.quiet, "quiet", "q", false, "print ids only")
	fl.BoolVar(&o.noTrunc, "no-trunc", false, "do not shorten ids and commands")
	fl.BoolVar(&o.noHeading, "noheading", false, "print no column headings")
	fl.BoolVarP(&o.latest, "latest", "l", false, "only the newest container")
	fl.IntVarP(&o.last, "last", "n", -1, "only the N newest containers")
	fl.BoolVarP(&o.size, "size", "s", false, "also how much they wrote, which takes time")
	fl.BoolVarP(&o.pod, "pod", "p", false, "also their pods")
	fl.BoolVar(&o.namespaces, "namespace", false, "their processes and namespaces instead")
	fl.BoolVar(&o.sync, "sync", false, "look at the processes themselves; ps always does")
	fl.IntVarP(&o.watch, "watch", "w", 0, "again every N seconds")
	fl.StringVar(&o.format, "format", "", "json, a Go template, or table TEMPLATE")
	fl.StringVar(&o.sort, "sort", "created", "order by command, created, id, image, names, pod, runningfor, size or status")
	fl.StringArrayVarP(&o.filters, "filter", "f", nil, "only containers with `KEY=VALUE`")
	fl.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "ns" {
			name = "namespace"
		}
		return pflag.NormalizedName(name)
	})
	return cmd
}

// check finds mistakes before anything is listed.
func (o *psOptions) check(f *cmdutil.Factory) error {
	s, err := f.State()
	if err != nil {
		return err
	}
	switch {
	case o.quiet && o.format != "":
		return errors.New("--quiet and --format exclude each other")
	case o.quiet && o.namespaces:
		return errors.New("--quiet and --namespace exclude each other")
	case o.size && o.namespaces:
		return errors.New("--size and --namespace exclude each other")
	case o.latest && o.last >= 0, o.latest && o.all && o.external:
		return errors.New("--latest excludes --last and --external")
	case o.watch < 0:
		return fmt.Errorf("--watch %d: want seconds", o.watch)
	}
	if _, err := filters(s).Compile(o.filters); err != nil {
		return err
	}
	if err := sortRows(nil, o.sort); err != nil {
		return err
	}
	return cmdutil.CheckFormat(o.format, o.list())
}

// run needs the store only for what the records do not hold.
func (o *psOptions) run(ctx context.Context, f *cmdutil.Factory) error {
	s, err := f.State()
	if err != nil {
		return err
	}
	if o.size || o.sort == "size" || o.external || strings.Contains(o.format, ".Size") {
		return f.InEngine(ctx, func(ctx context.Context, e *container.Engine) error {
			others, err := o.others(e)
			if err != nil {
				return err
			}
			return o.show(f, s, others, func(c *state.Container) (int64, int64) {
				written, all, err := e.Size(ctx, c)
				if err != nil {
					f.Notice(err.Error())
				}
				return written, all
			})
		})
	}
	return o.show(f, s, nil, nil)
}

// others are containers in the store that are not ours.
func (o *psOptions) others(e *container.Engine) ([]container.Listed, error) {
	if !o.external {
		return nil, nil
	}
	return container.External(e)
}

func (o *psOptions) show(f *cmdutil.Factory, s state.Store, others []container.Listed, size func(*state.Container) (written, all int64)) error {
	keep, err := filters(s).Compile(o.withDefault())
	if err != nil {
		return err
	}
	list, errs := container.List(s)
	for _, err := range errs {
		f.Notice(err.Error()) // one damaged record must not hide the others
	}
	list = slices.DeleteFunc(list, func(l container.Listed) bool { return !keep(l) })
	if o.latest {
		o.last = 1
	}
	if o.last >= 0 {
		list = list[:min(o.last, len(list))]
	}
	names := map[string]string{}
	if slices.ContainsFunc(list, func(l container.Listed) bool { return l.Spec.Pod != "" }) {
		names = pod.Of(s).Names()
	}
	rows := make([]psRow, 0, len(list)+len(others))
	for _, l := range append(list, others...) {
		r := psRow{c: l, long: o.noTrunc, pod: names[l.Spec.Pod]}
		if size != nil && l.Word != container.Foreign {
			r.written, r.allFiles = size(l.Container)
		}
		rows = append(rows, r)
	}
	if err := sortRows(rows, o.sort); err != nil {
		return err
	}
	return o.print(f, rows)
}

// withDefault adds to the filters that only running containers show, unless
// something asks for others.
func (o *psOptions) withDefault() []string {
	asked := slices.ContainsFunc(o.filters, func(f string) bool {
		return strings.HasPrefix(f, "status=") || strings.HasPrefix(f, "exited=")
	})
	if o.all || asked || o.latest || o.last >= 0 {
		return o.filters
	}
	return append(slices.Clone(o.filters), "status="+state.Running, "status="+state.Restarting)
}

func (o *psOptions) print(f *cmdutil.Factory, rows []psRow) error {
	if o.quiet {
		for _, r := range rows {
			fmt.Fprintln(f.Out, r.ID())
		}
		return nil
	}
	return cmdutil.Render(f.Out, o.format, o.list(), rows)
}

func (o *psOptions) list() cmdutil.List[psRow] {
	columns := "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.Created}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
	switch {
	case o.namespaces:
		columns = "{{.ID}}\t{{.Names}}\t{{.Pid}}\t{{.CGROUPNS}}\t{{.IPC}}\t{{.MNT}}\t{{.NET}}\t{{.PIDNS}}\t{{.USERNS}}\t{{.UTS}}"
	case o.pod:
		columns += "\t{{.Pod}}\t{{.PodName}}"
	}
	if o.size {
		columns += "\t{{.Size}}"
	}
	return cmdutil.List[psRow]{
		Default:   columns,
		Headings:  psHeadings(),
		NoHeading: o.noHeading,
		Object:    psRow.object,
	}
}

func psHeadings() map[string]string {
	return map[string]string{
		"ID": "CONTAINER ID", "ImageID": "IMAGE ID", "CreatedAt": "CREATED AT", "RunningFor": "CREATED", "Pod": "POD ID",
		"StartedAt": "STARTED AT", "ExitedAt": "EXITED AT", "LocalVolumes": "LOCAL VOLUMES", "CreatedHuman": "CREATED",
	}
}

// psJSON is one container of ps --format json, in podman's field names and types.
type psJSON struct {
	AutoRemove bool
	Command    []string
	Created    int64 // seconds since 1970
	CreatedAt  string
	Exited     bool
	ExitedAt   int64
	ExitCode   int
	ID         string `json:"Id"`
	Image      string
	ImageID    string
	IsInfra    bool
	Labels     map[string]string
	Mounts     []string
	Names      []string
	Networks   []string
	Pid        int
	Pod        string
	PodName    string
	Restarts   int
	StartedAt  int64
	State      string
	Status     string
	psMore
}

func (r psRow) object() any {
	return psJSON{
		AutoRemove: r.AutoRemove(), Command: r.c.Container.Command, Created: r.c.Created.Unix(), CreatedAt: r.CreatedHuman(),
		Exited: r.Exited(), ExitedAt: unix(r.ExitedAt()), ExitCode: r.ExitCode(), ID: r.c.ID, Image: r.Image(), ImageID: r.ImageID(),
		Labels: r.c.Labels(), Mounts: r.targets(), Names: []string{r.c.Name}, Networks: networkNames(r.c), Pid: r.Pid(),
		StartedAt: unix(r.StartedAt()), State: r.State(), Status: r.Status(), Restarts: r.Restarts(), IsInfra: r.IsInfra(), Pod: r.c.Spec.Pod, PodName: r.pod, psMore: r.more(),
	}
}

// unix is seconds since 1970, or 0 for never.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func sortRows(rows []psRow, by string) error {
	key := map[string]func(psRow) string{
		"command": psRow.Command, "id": psRow.ID, "image": psRow.Image, "names": psRow.Names, "status": psRow.Status, "pod": psRow.Pod,
	}[by]
	switch {
	case key != nil:
		slices.SortStableFunc(rows, func(a, b psRow) int { return strings.Compare(key(a), key(b)) })
	case by == "runningfor":
		slices.SortStableFunc(rows, func(a, b psRow) int { return a.c.Status.Run.Started.Compare(b.c.Status.Run.Started) })
	case by == "size":
		slices.SortStableFunc(rows, func(a, b psRow) int { return cmp.Compare(a.written, b.written) })
	case by != "created":
		return fmt.Errorf("--sort %q: want command, created, id, image, names, pod, runningfor, size or status", by)
	}
	return nil
}

// psRow is one line; its methods are the fields of --format, in podman's and
// Docker's names.
type psRow struct {
	c                 container.Listed
	long              bool
	written, allFiles int64  // bytes; 0 unless they were asked for
	pod               string // its pod's name
}

// commandWidth is where ps cuts a command, as peers do.
const commandWidth = 17

func (r psRow) ID() string {
	if r.long {
		return r.c.ID
	}
	return r.c.Short()
}

func (r psRow) Command() string {
	cmd := strings.Join(r.c.Container.Command, " ")
	if !r.long && len(cmd) > commandWidth {
		cmd = cmd[:commandWidth] + "..."
	}
	return cmd
}

func (r psRow) Status() string {
	run := r.c.Status.Run
	switch r.c.Word {
	case state.Running:
		up := "Up " + ago(run.Started)
		if r.c.Health != "" {
			up += " (" + r.c.Health + ")"
		}
		return up
	case state.Paused:
		return "Up " + ago(run.Started) + " (Paused)"
	case state.Exited:
		return "Exited (" + strconv.Itoa(run.ExitCode) + ") " + ago(run.Finished) + " ago"
	case state.Restarting:
		return "Restarting (" + strconv.Itoa(run.ExitCode) + ") " + ago(run.Finished) + " ago"
	case container.Foreign:
		return "Storage"
	}
	if r.c.Word == state.Initialized {
		return "Initialized"
	}
	return "Created"
}

func (r psRow) Image() string   { return r.c.ImageName }
func (r psRow) ImageID() string { return r.c.ImageID }
func (r psRow) Created() string { return r.CreatedHuman() }
func (r psRow) CreatedAt() string {
	return r.c.Created.Format("2006-01-02 15:04:05.999999999 -0700 MST")
}
func (r psRow) CreatedHuman() string { return ago(r.c.Created) + " ago" }
func (r psRow) RunningFor() string   { return r.CreatedHuman() }
func (r psRow) State() string        { return r.c.Word }
func (r psRow) Names() string        { return r.c.Name }
func (r psRow) Ports() string        { return portsText(r.c) }
func (r psRow) Networks() string     { return strings.Join(networkNames(r.c), ",") }
func (r psRow) PodName() string      { return r.pod }
func (r psRow) IsInfra() bool        { return r.c.Spec.Infra }
func (r psRow) Restarts() int        { return r.c.Status.Run.Restarts }
func (r psRow) AutoRemove() bool     { return r.c.Spec.Remove }
func (r psRow) ExitCode() int        { return r.c.Status.Run.ExitCode }
func (r psRow) Exited() bool         { return r.c.Word == state.Exited }
func (r psRow) ExitedAt() time.Time  { return r.c.Status.Run.Finished }
func (r psRow) StartedAt() time.Time { return r.c.Status.Run.Started }

func (r psRow) Pod() string {
	if r.long {
		return r.c.Spec.Pod
	}
	return r.c.Spec.Pod[:min(len(r.c.Spec.Pod), 12)]
}

// HealthStatus is the health check's, in Docker's name for it.
func (r psRow) HealthStatus() string { return r.c.Health }

func (r psRow) Pid() int {
	if !r.c.Alive() {
		return 0
	}
	return r.c.Status.Run.PID
}

func (r psRow) Mounts() string { return strings.Join(r.targets(), ",") }

func (r psRow) targets() []string {
	out := []string{}
	for _, m := range r.c.Spec.Mounts {
		out = append(out, m.Target)
	}
	return out
}

// ago is how long ago t was, never less than nothing: the clock may have been
// set back.
func ago(t time.Time) string { return units.Duration(state.Since(t)) }

func (r psRow) Labels() string {
	var l []string
	for k, v := range r.c.Labels() {
		l = append(l, k+"="+v)
	}
	slices.Sort(l)
	return strings.Join(l, ",")
}

// Label is one label's value, for {{.Label "key"}}.
func (r psRow) Label(key string) string { return r.c.Labels()[key] }
