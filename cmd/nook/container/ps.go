package container

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
)

type psOptions struct {
	all, quiet, noTrunc, noHeading, latest bool
	last                                   int
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
		Args:    cmdutil.ExactArgs(0, ""),
		RunE:    func(*cobra.Command, []string) error { return o.run(f) },
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.all, "all", "a", false, "also containers that do not run")
	fl.BoolVarP(&o.quiet, "quiet", "q", false, "print ids only")
	fl.BoolVar(&o.noTrunc, "no-trunc", false, "do not shorten ids and commands")
	fl.BoolVar(&o.noHeading, "noheading", false, "print no column headings")
	fl.BoolVarP(&o.latest, "latest", "l", false, "only the newest container")
	fl.IntVarP(&o.last, "last", "n", -1, "only the N newest containers")
	fl.StringVar(&o.format, "format", "", "json, a Go template, or table TEMPLATE")
	fl.StringVar(&o.sort, "sort", "created", "order by command, created, id, image, names, runningfor or status")
	fl.StringArrayVarP(&o.filters, "filter", "f", nil, "only containers where KEY=VALUE: "+strings.Join(container.FilterKeys(), ", "))
	return cmd
}

func (o *psOptions) run(f *cmdutil.Factory) error {
	if o.quiet && o.format != "" {
		return errors.New("--quiet and --format exclude each other")
	}
	s, err := f.State()
	if err != nil {
		return err
	}
	filter, err := container.ParseFilter(o.filters, s)
	if err != nil {
		return err
	}
	if _, asked := filter["status"]; !o.all && !asked && !o.latest && o.last < 0 && filter["exited"] == nil {
		filter["status"] = []string{state.Running}
	}
	list, errs := container.List(s, filter)
	for _, err := range errs {
		f.Notice(err.Error()) // one damaged record must not hide the others
	}
	if o.latest {
		o.last = 1
	}
	if o.last >= 0 {
		list = list[:min(o.last, len(list))]
	}
	rows := make([]psRow, len(list))
	for i, c := range list {
		rows[i] = newPsRow(c, o.noTrunc)
	}
	if err := sortRows(rows, o.sort); err != nil {
		return err
	}
	return o.print(f, rows)
}

func sortRows(rows []psRow, by string) error {
	key := map[string]func(psRow) string{
		"command": psRow.Command, "id": psRow.ID, "image": psRow.Image, "names": psRow.Names, "status": psRow.Status,
	}[by]
	switch {
	case key != nil:
		slices.SortStableFunc(rows, func(a, b psRow) int { return strings.Compare(key(a), key(b)) })
	case by == "runningfor":
		slices.SortStableFunc(rows, func(a, b psRow) int { return a.c.Status.Run.Started.Compare(b.c.Status.Run.Started) })
	case by != "created":
		return fmt.Errorf("--sort %q: want command, created, id, image, names, runningfor or status", by)
	}
	return nil
}

// psRow is one line; its methods are the fields of --format, in podman's and
// Docker's names.
type psRow struct {
	c    container.Listed
	long bool
}

func newPsRow(c container.Listed, long bool) psRow { return psRow{c, long} }

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
		return "Up " + cmdutil.Ago(run.Started)
	case state.Exited:
		return "Exited (" + strconv.Itoa(run.ExitCode) + ") " + cmdutil.Ago(run.Finished) + " ago"
	}
	return "Created"
}

func (r psRow) Image() string   { return r.c.ImageName }
func (r psRow) ImageID() string { return r.c.ImageID }
func (r psRow) Created() string { return r.CreatedHuman() }
func (r psRow) CreatedAt() string {
	return r.c.Created.Format("2006-01-02 15:04:05.999999999 -0700 MST")
}
func (r psRow) CreatedHuman() string { return cmdutil.Ago(r.c.Created) + " ago" }
func (r psRow) RunningFor() string   { return r.CreatedHuman() }
func (r psRow) State() string        { return r.c.Word }
func (r psRow) Names() string        { return r.c.Name }
func (r psRow) Ports() string        { return "" }
func (r psRow) Networks() string     { return "" }
func (r psRow) Pod() string          { return "" }
func (r psRow) PodName() string      { return "" }
func (r psRow) IsInfra() bool        { return false }
func (r psRow) Restarts() int        { return 0 }
func (r psRow) AutoRemove() bool     { return r.c.Spec.Remove }
func (r psRow) ExitCode() int        { return r.c.Status.Run.ExitCode }
func (r psRow) Exited() bool         { return r.c.Word == state.Exited }
func (r psRow) ExitedAt() time.Time  { return r.c.Status.Run.Finished }
func (r psRow) StartedAt() time.Time { return r.c.Status.Run.Started }

func (r psRow) Pid() int {
	if r.c.Word != state.Running {
		return 0
	}
	return r.c.Status.Run.PID
}

func (r psRow) Mounts() string {
	var m []string
	for _, x := range r.c.Spec.Mounts {
		m = append(m, x.Target)
	}
	return strings.Join(m, ",")
}

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
