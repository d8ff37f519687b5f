package volume

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/volume"
)

// Inspect is a volume as inspect and ls show it, in podman's field names, most of
// which are Docker's.
type Inspect struct {
	Name        string
	Driver      string
	Mountpoint  string
	CreatedAt   time.Time
	Labels      map[string]string
	Scope       string
	Options     map[string]string
	Anonymous   bool   `json:",omitempty"`
	UID         uint32 `json:",omitempty"`
	GID         uint32 `json:",omitempty"`
	MountCount  int    // running containers that have it
	NeedsCopyUp bool   `json:",omitempty"`
	NeedsChown  bool   `json:",omitempty"`

	users int // containers, running or not
}

// row is one line of ls; further fields of templates are its methods.
type row struct{ *Inspect }

// Labels is all labels in one word, as in docker volume ls.
func (r row) Labels() string { return words(r.Inspect.Labels) }

// Options is all options in one word.
func (r row) Options() string { return words(r.Inspect.Options) }

// Label is one label's value, for {{.Label "key"}}.
func (r row) Label(key string) string { return r.Inspect.Labels[key] }

// Status is a driver's own; local has none.
func (r row) Status() map[string]string { return map[string]string{} }

// Links is how many containers use the volume.
func (r row) Links() int { return r.users }

func words(m map[string]string) string {
	var w []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		w = append(w, k+"="+m[k])
	}
	return strings.Join(w, ",")
}

// describe shows v, which the containers users have in their records.
func describe(v *volume.Volume, users []*state.Container) (*Inspect, error) {
	in := &Inspect{
		Name: v.Name, Driver: v.Driver, Mountpoint: v.Mountpoint(), CreatedAt: v.Created, Labels: v.Labels,
		Scope: "local", Options: v.Options, Anonymous: v.Anonymous, NeedsCopyUp: v.Fresh(), users: len(users),
	}
	in.NeedsChown = in.NeedsCopyUp
	b := v.Backing()
	if b.UID != nil {
		in.UID = *b.UID
	}
	if b.GID != nil {
		in.GID = *b.GID
	}
	for _, m := range []*map[string]string{&in.Labels, &in.Options} {
		if *m == nil {
			*m = map[string]string{}
		}
	}
	for _, c := range users {
		st, err := c.Status()
		if err != nil {
			return nil, err
		}
		if st.Alive() {
			in.MountCount++
		}
	}
	return in, nil
}

// Describe is what "volume inspect" shows about one volume.
func Describe(f *cmdutil.Factory, name string) (*Inspect, error) {
	v, err := lookup(f, name)
	if err != nil {
		return nil, err
	}
	users, err := usersOf(f)
	if err != nil {
		return nil, err
	}
	return describe(v, users[name])
}

func usersOf(f *cmdutil.Factory) (map[string][]*state.Container, error) {
	s, err := f.State()
	if err != nil {
		return nil, err
	}
	return volume.Users(s)
}

// all describes every volume. A damaged one gives a notice.
func all(f *cmdutil.Factory) ([]*Inspect, error) {
	s, err := open(f)
	if err != nil {
		return nil, err
	}
	vols, errs := s.List()
	for _, err := range errs {
		f.Notice(err.Error())
	}
	users, err := usersOf(f)
	if err != nil {
		f.Notice(err.Error()) // such a container's volumes look unused
	}
	out := make([]*Inspect, 0, len(vols))
	for _, v := range vols {
		in, err := describe(v, users[v.Name])
		if err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, nil
}

type listOptions struct {
	quiet, noHeading bool
	format           string
	filters          []string
}

func newList(f *cmdutil.Factory) *cobra.Command {
	o := &listOptions{}
	cmd := &cobra.Command{
		Use:     "ls [flags]",
		Aliases: []string{"list"},
		Short:   "List volumes",
		Example: "  nook volume ls --filter dangling=true\n  nook volume ls --format '{{.Name}} {{.Mountpoint}}'",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return o.run(f) },
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.quiet, "quiet", "q", false, "print names only")
	fl.BoolVarP(&o.noHeading, "noheading", "n", false, "print no column headings")
	fl.StringVar(&o.format, "format", "", "json, a Go template, or table TEMPLATE")
	fl.StringArrayVarP(&o.filters, "filter", "f", nil, "only volumes with `KEY=VALUE`: anonymous, dangling, driver, label, label!, name, opt, scope, since or until")
	return cmd
}

func (o *listOptions) run(f *cmdutil.Factory) error {
	if o.quiet && o.format != "" {
		return errors.New("--quiet and --format exclude each other")
	}
	keep, err := filters(f).Compile(o.filters)
	if err != nil {
		return err
	}
	list, err := all(f)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(in *Inspect) bool { return !keep(in) })
	if o.quiet {
		for _, in := range list {
			fmt.Fprintln(f.Out, in.Name)
		}
		return nil
	}
	rows := make([]row, len(list))
	for i, in := range list {
		rows[i] = row{in}
	}
	return cmdutil.Render(f.Out, o.format, cmdutil.List[row]{
		Default:   "{{.Driver}}\t{{.Name}}",
		Headings:  map[string]string{"Name": "VOLUME NAME"},
		NoHeading: o.noHeading,
		JSON:      func([]row) any { return list },
	}, rows)
}

// filters are the keys of volume ls --filter.
func filters(f *cmdutil.Factory) cmdutil.Filters[*Inspect] {
	out := cmdutil.Filters[*Inspect]{
		"anonymous": cmdutil.Bool(func(in *Inspect) bool { return in.Anonymous }),
		"dangling":  cmdutil.Bool(func(in *Inspect) bool { return in.users == 0 }),
		"driver":    equal(func(in *Inspect) string { return in.Driver }),
		"scope":     equal(func(in *Inspect) string { return in.Scope }),
		"name": func(v string) (func(*Inspect) bool, error) {
			re, err := regexp.Compile(v)
			if err != nil {
				return nil, err
			}
			return func(in *Inspect) bool { return re.MatchString(in.Name) }, nil
		},
		"opt": func(v string) (func(*Inspect) bool, error) {
			return func(in *Inspect) bool { return cmdutil.Label(in.Options, v) }, nil
		},
		"until": until,
		"since": since(f),
		"after": since(f),
	}
	cmdutil.LabelFilters(out, func(in *Inspect) map[string]string { return in.Labels })
	return out
}

func equal(of func(*Inspect) string) func(string) (func(*Inspect) bool, error) {
	return func(v string) (func(*Inspect) bool, error) {
		return func(in *Inspect) bool { return of(in) == v }, nil
	}
}

func until(v string) (func(*Inspect) bool, error) {
	at, err := cmdutil.Moment(v, time.Now())
	return func(in *Inspect) bool { return in.CreatedAt.Before(at) }, err
}

// since takes another volume.
func since(f *cmdutil.Factory) func(string) (func(*Inspect) bool, error) {
	return func(v string) (func(*Inspect) bool, error) {
		other, err := lookup(f, v)
		if err != nil {
			return nil, err
		}
		return func(in *Inspect) bool { return in.CreatedAt.After(other.Created) }, nil
	}
}

type inspectOptions struct {
	format string
	all    bool
}

func newInspect(f *cmdutil.Factory) *cobra.Command {
	o := &inspectOptions{}
	cmd := &cobra.Command{
		Use:     "inspect [flags] VOLUME...",
		Short:   "Show all about volumes",
		Example: "  nook volume inspect --format '{{.Mountpoint}}' data",
		RunE: func(_ *cobra.Command, args []string) error {
			if o.all == (len(args) > 0) {
				return errors.New("volume inspect: give volumes, or --all")
			}
			return o.run(f, args)
		},
	}
	cmd.Flags().StringVarP(&o.format, "format", "f", "", "`json` or TEMPLATE")
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "every volume")
	return cmd
}

func (o *inspectOptions) run(f *cmdutil.Factory, names []string) error {
	if o.all {
		list, err := all(f)
		if err != nil {
			return err
		}
		return cmdutil.RenderObjects(f.Out, o.format, list)
	}
	var found []*Inspect
	var errs []error
	for _, name := range names {
		in, err := Describe(f, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, in)
	}
	// What is there shows also when others are not.
	return errors.Join(cmdutil.RenderObjects(f.Out, o.format, found), errors.Join(errs...))
}
