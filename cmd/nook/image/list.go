package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
)

type listOptions struct {
	all, quiet, noTrunc, noHeading, digests, history bool

	format, sort string
	filters      []string
	reference    string
}

func newImages(f *cmdutil.Factory) *cobra.Command {
	cmd := newList(f)
	cmd.Use, cmd.Aliases = "images [flags] [NAME]", nil
	return cmd
}

func newList(f *cmdutil.Factory) *cobra.Command {
	var o listOptions
	cmd := &cobra.Command{
		Use:     "list [flags] [NAME]",
		Aliases: []string{"ls"},
		Short:   "List images",
		Long: `List images, newest first, a line for each name. Images without a name that
others were built on are left out unless --all is given. NAME selects images as
--filter reference=NAME does.`,
		Example: "  nook images\n  nook images --filter dangling=true -q\n  nook images --format 'table {{.Repository}}\\t{{.Size}}'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.reference = args[0]
			}
			if err := o.check(); err != nil {
				return err
			}
			return f.InStore(cmd.Context(), func(_ context.Context, s *store.Store) error { return list(f, s, o) })
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.all, "all", "a", false, "also images without a name that others were built on")
	fl.BoolVarP(&o.quiet, "quiet", "q", false, "only ids")
	fl.BoolVar(&o.noTrunc, "no-trunc", false, "whole ids")
	fl.BoolVarP(&o.noHeading, "noheading", "n", false, "no line of titles")
	fl.BoolVar(&o.digests, "digests", false, "show digests of manifests")
	fl.BoolVar(&o.history, "history", false, "show earlier names")
	fl.StringVar(&o.format, "format", "", "`json`, table TEMPLATE or TEMPLATE")
	fl.StringVar(&o.sort, "sort", "created", "order by `created`, id, repository, size or tag")
	fl.StringArrayVarP(&o.filters, "filter", "f", nil, "only images with `KEY=VALUE`")
	return cmd
}

func (o *listOptions) check() error {
	if !slices.Contains([]string{"created", "id", "repository", "size", "tag"}, o.sort) {
		return problem.Hint(fmt.Errorf("images: cannot sort by %q", o.sort), "use one of: created, id, repository, size, tag")
	}
	if o.quiet && o.format != "" {
		return errors.New("images: --quiet and --format exclude each other")
	}
	return nil
}

func list(f *cmdutil.Factory, s *store.Store, o listOptions) error {
	all, err := collect(s)
	if err != nil {
		return err
	}
	if o.reference != "" {
		o.filters = append(o.filters, "reference="+o.reference)
	}
	keep, err := imageFilters(s).Compile(o.filters)
	if err != nil {
		return fmt.Errorf("images: %w", err)
	}
	all = slices.DeleteFunc(all, func(l *listed) bool {
		return !keep(l) || !o.all && !l.named() && l.children && len(o.filters) == 0
	})
	if o.quiet {
		return printIDs(f, all, o)
	}
	rows := makeRows(all, o, time.Now())
	sortRows(rows, o.sort)
	return cmdutil.Render(f.Out, o.format, cmdutil.List[*row]{
		Default:   defaultTable(o),
		Headings:  map[string]string{"ID": "IMAGE ID", "Id": "IMAGE ID", "CreatedSince": "CREATED", "ReadOnly": "R/O"},
		NoHeading: o.noHeading,
		JSON:      func([]*row) any { return summaries(all) },
	}, rows)
}

func defaultTable(o listOptions) string {
	t := "{{.Repository}}\t{{.Tag}}\t"
	if o.digests {
		t += "{{.Digest}}\t"
	}
	t += "{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
	if o.history {
		t += `{{"\t"}}{{if .History}}{{.History}}{{else}}<none>{{end}}`
	}
	return t
}

func printIDs(f *cmdutil.Factory, all []*listed, o listOptions) error {
	for _, l := range all {
		id := l.ID[:12]
		if o.noTrunc {
			id = "sha256:" + l.ID
		}
		if _, err := fmt.Fprintln(f.Out, id); err != nil {
			return err
		}
	}
	return nil
}

func sortRows(rows []*row, by string) {
	order := func(a, b *row) int { return b.l.Created.Compare(a.l.Created) }
	switch by {
	case "id":
		order = func(a, b *row) int { return strings.Compare(a.l.ID, b.l.ID) }
	case "repository":
		order = func(a, b *row) int { return strings.Compare(a.Repository, b.Repository) }
	case "tag":
		order = func(a, b *row) int { return strings.Compare(a.Tag, b.Tag) }
	case "size":
		order = func(a, b *row) int { return int(min(max(a.l.Image.Size-b.l.Image.Size, -1), 1)) }
	}
	slices.SortStableFunc(rows, order)
}
