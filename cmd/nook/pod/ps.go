package pod

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	libcontainer "github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/units"
)

type psOptions struct {
	ids, names, status, namespaces    bool
	quiet, noTrunc, noHeading, latest bool
	format, sort                      string
	filters                           []string
}

func newPs(f *cmdutil.Factory) *cobra.Command {
	o := &psOptions{}
	cmd := &cobra.Command{
		Use:     "ps [flags]",
		Aliases: []string{"ls", "list"},
		Short:   "List pods",
		Long: `List pods, newest first. A pod is Created until a container has run, Running while
all run, Degraded while some do, Exited when all have ended, and Stopped when some
have and the others never ran.`,
		Example: "  nook pod ps --ctr-names\n  nook pod ps --filter status=running --format '{{.Name}}'",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return o.run(f) },
	}
	fl := cmd.Flags()
	fl.BoolVar(&o.ids, "ctr-ids", false, "show the ids of the containers")
	fl.BoolVar(&o.names, "ctr-names", false, "show the names of the containers")
	fl.BoolVar(&o.status, "ctr-status", false, "show the states of the containers")
	fl.BoolVar(&o.namespaces, "ns", false, "show what the containers share")
	fl.BoolVar(&o.namespaces, "namespace", false, "show what the containers share")
	fl.BoolVarP(&o.quiet, "quiet", "q", false, "print ids only")
	fl.BoolVar(&o.noTrunc, "no-trunc", false, "do not shorten ids")
	fl.BoolVar(&o.noHeading, "noheading", false, "print no column headings")
	fl.BoolVarP(&o.latest, "latest", "l", false, "only the newest pod")
	fl.StringVar(&o.format, "format", "", "json, a Go template, or table TEMPLATE")
	fl.StringVar(&o.sort, "sort", "created", "order by created, id, name, status or number")
	fl.StringArrayVarP(&o.filters, "filter", "f", nil, "only pods with `KEY=VALUE`")
	return cmd
}

func (o *psOptions) run(f *cmdutil.Factory) error {
	if o.quiet && o.format != "" {
		return errors.New("--quiet and --format exclude each other")
	}
	keep, err := filters().Compile(o.filters)
	if err != nil {
		return err
	}
	rows, err := o.rows(f)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(r row) bool { return !keep(r) })
	if o.latest {
		rows = rows[:min(1, len(rows))]
	}
	if err := order(rows, o.sort); err != nil {
		return err
	}
	if o.quiet {
		for _, r := range rows {
			fmt.Fprintln(f.Out, r.ID())
		}
		return nil
	}
	return cmdutil.Render(f.Out, o.format, cmdutil.List[row]{
		Default: o.columns(),
		Headings: map[string]string{
			"ID": "POD ID", "InfraID": "INFRA ID", "NumberOfContainers": "# OF CONTAINERS", "ContainerIds": "IDS", "ContainerNames": "NAMES",
			"ContainerStatuses": "STATUS", "Namespace": "NAMESPACES",
		},
		NoHeading: o.noHeading,
		Object:    row.object,
	}, rows)
}

func (o *psOptions) columns() string {
	cols := []string{"{{.ID}}", "{{.Name}}", "{{.Status}}", "{{.Created}}", "{{.InfraID}}"}
	if !o.ids && !o.names && !o.status {
		cols = append(cols, "{{.NumberOfContainers}}")
	}
	for _, c := range []struct {
		on  bool
		col string
	}{{o.ids, "{{.ContainerIds}}"}, {o.names, "{{.ContainerNames}}"}, {o.status, "{{.ContainerStatuses}}"}, {o.namespaces, "{{.Cgroup}}\t{{.Namespace}}"}} {
		if c.on {
			cols = append(cols, c.col)
		}
	}
	return strings.Join(cols, "\t")
}

// rows describes every pod, newest first. All records of containers are read once.
func (o *psOptions) rows(f *cmdutil.Factory) ([]row, error) {
	s, err := f.State()
	if err != nil {
		return nil, err
	}
	pods, errs := pod.Of(s).List()
	list, cerrs := libcontainer.List(s)
	for _, err := range append(errs, cerrs...) {
		f.Notice(err.Error()) // one damaged record must not hide the others
	}
	members := map[string][]libcontainer.PodMember{}
	for _, l := range slices.Backward(list) {
		members[l.Spec.Pod] = append(members[l.Spec.Pod], l)
	}
	rows := make([]row, 0, len(pods))
	for _, p := range slices.Backward(pods) {
		rows = append(rows, row{p, members[p.ID], o.noTrunc})
	}
	return rows, nil
}

func order(rows []row, by string) error {
	key := map[string]func(row) string{"id": row.ID, "name": row.Name, "status": row.Status}[by]
	switch {
	case key != nil:
		slices.SortStableFunc(rows, func(a, b row) int { return strings.Compare(key(a), key(b)) })
	case by == "number":
		slices.SortStableFunc(rows, func(a, b row) int { return len(a.members) - len(b.members) })
	case by != "created":
		return fmt.Errorf("--sort %q: want created, id, name, status or number", by)
	}
	return nil
}

// row is one line; its methods are the fields of --format, in podman's names.
type row struct {
	p       *pod.Pod
	members []libcontainer.PodMember
	long    bool
}

func (r row) short(id string) string {
	if r.long {
		return id
	}
	return id[:min(len(id), 12)]
}

func (r row) ID() string              { return r.short(r.p.ID) }
func (r row) Id() string              { return r.ID() } //nolint:staticcheck // the field's name elsewhere
func (r row) Name() string            { return r.p.Name }
func (r row) Status() string          { return libcontainer.PodState(r.members) }
func (r row) Created() string         { return units.Duration(state.Since(r.p.Created)) + " ago" }
func (r row) InfraID() string         { return r.short(r.p.InfraID) }
func (r row) NumberOfContainers() int { return len(r.members) }
func (r row) ContainerIds() string {
	return join(r.each(func(m libcontainer.PodMember) string { return r.short(m.ID) }))
}
func (r row) ContainerNames() string    { return join(r.each(name)) }
func (r row) ContainerStatuses() string { return join(r.each(word)) }
func (r row) Cgroup() string            { return libcontainer.PodCgroupParent(r.p.Spec, r.members) }
func (r row) Namespace() string         { return strings.Join(r.p.Spec.Share, ",") }
func (r row) Networks() string          { return join(r.networks()) }
func (r row) Restarts() int             { return restarts(r.members) }
func (r row) Labels() string            { return labels(r.p.Spec.Labels) }

// Label is one label's value, for {{.Label "key"}}.
func (r row) Label(key string) string { return r.p.Spec.Labels[key] }

func (r row) each(of func(libcontainer.PodMember) string) []string {
	var words []string
	for _, m := range r.members {
		words = append(words, of(m))
	}
	return words
}

func join(words []string) string { return strings.Join(words, ",") }

func id(m libcontainer.PodMember) string   { return m.ID }
func name(m libcontainer.PodMember) string { return m.Name }
func word(m libcontainer.PodMember) string { return m.Word }

func restarts(members []libcontainer.PodMember) int {
	n := 0
	for _, m := range members {
		n += m.Run.Restarts
	}
	return n
}

func labels(m map[string]string) string {
	var words []string
	for k, v := range m {
		words = append(words, k+"="+v)
	}
	slices.Sort(words)
	return strings.Join(words, ",")
}

// podJSON is one pod of --format json, in podman's field names and types.
type podJSON struct {
	Cgroup     string
	Containers []memberJSON
	Created    time.Time
	ID         string `json:"Id"`
	InfraID    string `json:"InfraId"`
	Name       string
	Namespace  string
	Networks   []string
	Status     string
	Labels     map[string]string
}

type memberJSON struct {
	ID           string `json:"Id"`
	Names        string
	Status       string
	RestartCount int
}

func (r row) object() any {
	p := podJSON{
		Containers: []memberJSON{}, Created: r.p.Created, ID: r.p.ID, InfraID: r.p.InfraID, Name: r.p.Name,
		Networks: r.networks(), Status: r.Status(), Labels: map[string]string{}, Cgroup: r.Cgroup(),
	}
	maps.Copy(p.Labels, r.p.Spec.Labels)
	for _, m := range r.members {
		p.Containers = append(p.Containers, memberJSON{m.ID, m.Name, m.Word, m.Run.Restarts})
	}
	return p
}

// networks are those that the infra container is in now.
func (r row) networks() []string {
	names := []string{}
	for _, m := range r.members {
		for _, u := range m.Spec.Networks {
			if m.Spec.Infra {
				names = append(names, u.Name)
			}
		}
	}
	return names
}

type test = func(row) bool

// filters are the keys of pod ps --filter.
func filters() cmdutil.Filters[row] {
	out := cmdutil.Filters[row]{
		"id":         pattern(func(r row) []string { return []string{r.p.ID} }),
		"name":       pattern(func(r row) []string { return []string{r.p.Name} }),
		"ctr-ids":    pattern(func(r row) []string { return r.each(id) }),
		"ctr-names":  pattern(func(r row) []string { return r.each(name) }),
		"ctr-status": memberStatus,
		"ctr-number": func(v string) (test, error) {
			n, err := strconv.Atoi(v)
			if err != nil {
				return nil, errors.New("want a number")
			}
			return func(r row) bool { return len(r.members) == n }, nil
		},
		"status": status,
		"until": func(v string) (test, error) {
			at, err := cmdutil.Moment(v, time.Now())
			return func(r row) bool { return r.p.Created.Before(at) }, err
		},
	}
	cmdutil.LabelFilters(out, func(r row) map[string]string { return r.p.Spec.Labels })
	return out
}

// pattern takes a regular expression that one of the words must match.
func pattern(words func(row) []string) func(string) (test, error) {
	return func(v string) (test, error) {
		re, err := regexp.Compile(v)
		if err != nil {
			return nil, err
		}
		return func(r row) bool { return slices.ContainsFunc(words(r), re.MatchString) }, nil
	}
}

func memberStatus(v string) (test, error) {
	switch v {
	case "stopped":
		v = state.Exited
	case state.Created, state.Running, state.Exited, state.Restarting, "paused", "unknown":
	default:
		return nil, errors.New("want created, running, restarting, paused, stopped, exited or unknown")
	}
	return func(r row) bool {
		return slices.ContainsFunc(r.members, func(m libcontainer.PodMember) bool { return m.Word == v })
	}, nil
}

func status(v string) (test, error) {
	for _, known := range []string{pod.Created, pod.Running, pod.Degraded, pod.Paused, pod.Stopped, pod.Exited, pod.Dead} {
		if strings.EqualFold(v, known) {
			return func(r row) bool { return r.Status() == known }, nil
		}
	}
	return nil, errors.New("want created, running, degraded, paused, stopped, exited or dead")
}
