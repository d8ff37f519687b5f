package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/units"
)

type historyOptions struct {
	human, noTrunc, noHeading, quiet bool
	format                           string
}

func newHistory(f *cmdutil.Factory) *cobra.Command {
	var o historyOptions
	cmd := &cobra.Command{
		Use:   "history [flags] IMAGE",
		Short: "Show how an image was made",
		Long: `Show the steps that an image was made by, the last one first. A step that no
image in the store ends with has the id <missing>.`,
		Example: "  nook history busybox\n  nook history --no-trunc --format '{{.CreatedBy}}' busybox",
		Args:    cmdutil.ExactArgs(1, "an image"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.quiet && o.format != "" {
				return errors.New("--quiet and --format exclude each other")
			}
			if err := cmdutil.CheckFormat(o.format, o.list()); err != nil {
				return err
			}
			return f.InStore(cmd.Context(), func(_ context.Context, s *store.Store) error {
				return o.run(f, s, args[0])
			})
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&o.format, "format", "", "`json`, table TEMPLATE or TEMPLATE")
	fl.BoolVarP(&o.human, "human", "H", true, "sizes and times as people read them")
	fl.BoolVar(&o.noTrunc, "no-trunc", false, "whole ids and steps")
	fl.BoolVar(&o.noHeading, "noheading", false, "no line of titles")
	fl.BoolVarP(&o.quiet, "quiet", "q", false, "only ids")
	return cmd
}

func (o *historyOptions) list() cmdutil.List[*step] {
	return cmdutil.List[*step]{
		Default:   "{{.ID}}\t{{.Created}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
		Headings:  map[string]string{"CreatedBy": "CREATED BY", "CreatedAt": "CREATED AT", "CreatedSince": "CREATED"},
		NoHeading: o.noHeading,
		JSON: func(steps []*step) any {
			out := make([]stepJSON, 0, len(steps))
			for _, s := range steps {
				out = append(out, stepJSON{s.id, s.created, s.createdBy, s.size, s.Comment, s.Tags})
			}
			return out
		},
	}
}

func (o *historyOptions) run(f *cmdutil.Factory, s *store.Store, name string) error {
	img, err := s.Lookup(name)
	if err != nil {
		return err
	}
	all, err := collect(s)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(l *listed) bool { return l.ID == img.ID })
	if i < 0 {
		return fmt.Errorf("%s: %w", name, store.ErrNotFound) // removed meanwhile
	}
	steps := o.steps(all, all[i], time.Now())
	if !o.quiet {
		return cmdutil.Render(f.Out, o.format, o.list(), steps)
	}
	for _, st := range steps {
		if _, err := fmt.Fprintln(f.Out, st.ID); err != nil {
			return err
		}
	}
	return nil
}

// step is a row: one entry of an image's history.
type step struct {
	ID                               string
	Created, CreatedAt, CreatedSince string
	CreatedBy, Size, Comment         string
	Tags                             []string

	id, createdBy string
	created       time.Time
	size          int64
}

// stepJSON has podman's field names.
type stepJSON struct {
	ID        string    `json:"id"`
	Created   time.Time `json:"created"`
	CreatedBy string
	Size      int64    `json:"size"`
	Comment   string   `json:"comment,omitempty"`
	Tags      []string `json:"tags,omitempty"`
}

const (
	missing      = "<missing>"
	createdWidth = 45 // where history cuts a step, as peers do
)

// steps goes through the history of l, which is one of all, from its end.
func (o *historyOptions) steps(all []*listed, l *listed, now time.Time) []*step {
	made := ancestors(all, l)
	layers := l.LayerSizes // uppermost first, as the steps are
	var out []*step
	for n := len(l.history); n > 0; n-- {
		h := l.history[n-1]
		st := &step{
			id: missing, ID: missing, created: h.Created.UTC(), createdBy: h.CreatedBy, CreatedBy: h.CreatedBy, Comment: h.Comment,
			CreatedAt: h.Created.UTC().Format(time.RFC3339), CreatedSince: units.Ago(now.Sub(h.Created.Time)),
		}
		if img := made[n]; img != nil {
			st.id, st.ID, st.Tags = img.ID, img.ID[:12], img.Names
		}
		if !h.EmptyLayer && len(layers) > 0 {
			st.size, layers = layers[0], layers[1:]
		}
		st.Created, st.Size = st.CreatedSince, units.Compact(st.size)
		if !o.human {
			st.Created, st.Size = st.CreatedAt, strconv.FormatInt(st.size, 10)
		}
		if o.noTrunc {
			st.ID = st.id
		} else if r := []rune(st.CreatedBy); len(r) > createdWidth {
			st.CreatedBy = string(r[:createdWidth-3]) + "..."
		}
		st.CreatedBy = strings.ReplaceAll(st.CreatedBy, "\t", " ") // it would be a column
		out = append(out, st)
	}
	return out
}

// ancestors are l and the images it was built on, by the number of their steps.
func ancestors(all []*listed, l *listed) map[int]*listed {
	made := map[int]*listed{}
	for l != nil && made[len(l.history)] == nil {
		made[len(l.history)] = l
		i := slices.IndexFunc(all, func(p *listed) bool { return p.ID == l.parent })
		if i < 0 {
			break
		}
		l = all[i]
	}
	return made
}
