package network

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
)

// row is one line of ls; further fields of templates are its methods.
type row struct {
	*Inspect

	long bool
}

// ID is cut unless --no-trunc says otherwise.
func (r row) ID() string {
	if r.long {
		return r.Inspect.ID
	}
	return r.Inspect.ID[:shortID]
}

const shortID = 12

// Labels is all labels in one word, as in docker network ls.
func (r row) Labels() string { return words(r.Inspect.Labels) }

// Options is all options in one word.
func (r row) Options() string { return words(r.Inspect.Options) }

// IPAMOptions is all of them in one word.
func (r row) IPAMOptions() string { return words(r.Inspect.IPAMOptions) }

// Label is one label's value, for {{.Label "key"}}.
func (r row) Label(key string) string { return r.Inspect.Labels[key] }

// IPv6 and the next two are Docker's.
func (r row) IPv6() bool { return r.IPv6Enabled }

// CreatedAt is the time of Created as text.
func (r row) CreatedAt() string { return r.Created.Format("2006-01-02 15:04:05.999999999 -0700 MST") }

func words(m map[string]string) string {
	var w []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		w = append(w, k+"="+m[k])
	}
	return strings.Join(w, ",")
}

type listOptions struct {
	quiet, noHeading, noTrunc bool
	format                    string
	filters                   []string
}

func newList(f *cmdutil.Factory) *cobra.Command {
	o := &listOptions{}
	cmd := &cobra.Command{
		Use:     "ls [flags]",
		Aliases: []string{"list"},
		Short:   "List networks",
		Example: "  nook network ls --filter dangling=true\n  nook network ls --format '{{.Name}} {{.Driver}}'",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return o.run(f) },
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.quiet, "quiet", "q", false, "print names only")
	fl.BoolVarP(&o.noHeading, "noheading", "n", false, "print no column headings")
	fl.BoolVar(&o.noTrunc, "no-trunc", false, "do not shorten ids")
	fl.StringVar(&o.format, "format", "", "json, a Go template, or table TEMPLATE")
	fl.StringArrayVarP(&o.filters, "filter", "f", nil, "only networks with `KEY=VALUE`: dangling, driver, id, label, label!, name, scope, type or until")
	return cmd
}

func (o *listOptions) run(f *cmdutil.Factory) error {
	if o.quiet && o.format != "" {
		return errors.New("--quiet and --format exclude each other")
	}
	keep, err := filters().Compile(o.filters)
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
		rows[i] = row{in, o.noTrunc}
	}
	return cmdutil.Render(f.Out, o.format, cmdutil.List[row]{
		Default:   "{{.ID}}\t{{.Name}}\t{{.Driver}}",
		Headings:  map[string]string{"ID": "NETWORK ID", "IPv6Enabled": "IPV6 ENABLED", "DNSEnabled": "DNS ENABLED", "CreatedAt": "CREATED AT"},
		NoHeading: o.noHeading,
		JSON:      func([]row) any { return list },
	}, rows)
}

// builtinType is what docker network ls calls networks that nobody made.
const builtinType, customType = "builtin", "custom"

// filters are the keys of network ls --filter.
func filters() cmdutil.Filters[*Inspect] {
	out := cmdutil.Filters[*Inspect]{
		"dangling": cmdutil.Bool(func(in *Inspect) bool { return in.users == 0 }),
		"driver":   equal(func(in *Inspect) string { return in.Driver }),
		"scope":    equal(func(in *Inspect) string { return in.Scope() }),
		"id": func(v string) (func(*Inspect) bool, error) {
			return func(in *Inspect) bool { return strings.HasPrefix(in.ID, v) }, nil
		},
		"name": func(v string) (func(*Inspect) bool, error) {
			re, err := regexp.Compile(v)
			if err != nil {
				return nil, err
			}
			return func(in *Inspect) bool { return re.MatchString(in.Name) }, nil
		},
		"type": func(v string) (func(*Inspect) bool, error) {
			if v != builtinType && v != customType {
				return nil, errors.New("want builtin or custom")
			}
			return func(in *Inspect) bool { return in.isDefault() == (v == builtinType) }, nil
		},
		"until": func(v string) (func(*Inspect) bool, error) {
			at, err := cmdutil.Moment(v, time.Now())
			return func(in *Inspect) bool { return in.Created.Before(at) }, err
		},
	}
	cmdutil.LabelFilters(out, func(in *Inspect) map[string]string { return in.Labels })
	return out
}

func equal(of func(*Inspect) string) func(string) (func(*Inspect) bool, error) {
	return func(v string) (func(*Inspect) bool, error) {
		return func(in *Inspect) bool { return of(in) == v }, nil
	}
}
