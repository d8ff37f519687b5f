package secret

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/secret"
	"github.com/nook-containers/nook/pkg/units"
)

type listOptions struct {
	format           string
	filters          []string
	quiet, noHeading bool
}

func newList(f *cmdutil.Factory) *cobra.Command {
	o := &listOptions{}
	cmd := &cobra.Command{
		Use:     "ls [flags]",
		Aliases: []string{"list"},
		Short:   "List secrets",
		Example: "  nook secret ls --filter name=db\n  nook secret ls --format '{{.Name}} {{.Driver}}'",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return o.list(f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&o.format, "format", "", "`json`, table TEMPLATE or TEMPLATE")
	fl.StringArrayVarP(&o.filters, "filter", "f", nil, "only secrets with `KEY=VALUE`: name, id, driver or label")
	fl.BoolVarP(&o.quiet, "quiet", "q", false, "only ids")
	fl.BoolVarP(&o.noHeading, "noheading", "n", false, "no line of titles")
	return cmd
}

// row has podman's field names.
type row struct {
	ID        string
	Name      string
	Driver    string
	CreatedAt string
	UpdatedAt string
	Labels    map[string]string `json:",omitempty"`
}

func filters() cmdutil.Filters[*secret.Secret] {
	contains := func(of func(*secret.Secret) string) func(string) (func(*secret.Secret) bool, error) {
		return func(v string) (func(*secret.Secret) bool, error) {
			return func(s *secret.Secret) bool { return strings.Contains(of(s), v) }, nil
		}
	}
	fs := cmdutil.Filters[*secret.Secret]{
		"name":   contains(func(s *secret.Secret) string { return s.Name }),
		"driver": contains(func(s *secret.Secret) string { return s.Driver }),
		"id": func(v string) (func(*secret.Secret) bool, error) {
			return func(s *secret.Secret) bool { return strings.HasPrefix(s.ID, v) }, nil
		},
	}
	cmdutil.LabelFilters(fs, func(s *secret.Secret) map[string]string { return s.Labels })
	return fs
}

func (o *listOptions) list(f *cmdutil.Factory) error {
	if o.quiet && o.format != "" {
		return errors.New("--quiet and --format exclude each other")
	}
	s, err := open(f)
	if err != nil {
		return err
	}
	keep, err := filters().Compile(o.filters)
	if err != nil {
		return err
	}
	all, errs := s.List()
	all = slices.DeleteFunc(all, func(s *secret.Secret) bool { return !keep(s) })
	var rows []row
	now := time.Now()
	for _, s := range all {
		if o.quiet {
			fmt.Fprintln(f.Out, s.ID)
			continue
		}
		rows = append(rows, row{s.ID, s.Name, s.Driver, units.Ago(now.Sub(s.Created)), units.Ago(now.Sub(s.Updated)), s.Labels})
	}
	if !o.quiet {
		l := cmdutil.List[row]{
			Default:   `{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}`,
			Headings:  map[string]string{"CreatedAt": "CREATED", "UpdatedAt": "UPDATED"},
			NoHeading: o.noHeading,
		}
		err = cmdutil.Render(f.Out, o.format, l, rows)
	}
	return errors.Join(err, errors.Join(errs...))
}
