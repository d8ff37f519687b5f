package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
)

type mountOptions struct {
	all, noTrunc bool
	format       string
}

func newMount(f *cmdutil.Factory) *cobra.Command {
	o := &mountOptions{}
	cmd := &cobra.Command{
		Use:   "mount [flags] [CONTAINER...]",
		Short: `Show the files of containers, in "nook unshare"`,
		Long: `Mount the root file systems of containers, running or not, and print where; without
arguments list what is mounted. It works in the shell of "nook unshare", whose
mounts nobody else sees and that end with it.

Do not start a container while it is mounted there.`,
		Example: "  nook unshare\n  # ls $(nook mount web)",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.all && len(args) > 0 {
				return errors.New("--all and a container exclude each other")
			}
			return f.Unshared(cmd.Context(), func(_ context.Context, e *container.Engine) error {
				if len(args) == 0 && !o.all {
					return o.list(f, e)
				}
				return eachOf(f, e, pick{args, o.all}, func(c *state.Container, _ string) error {
					path, err := e.Mount(c)
					if err == nil {
						fmt.Fprintln(f.Out, path)
					}
					return err
				})
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.all, "all", "a", false, "every container")
	fl.BoolVar(&o.noTrunc, "no-trunc", false, "show whole ids")
	fl.StringVar(&o.format, "format", "", "`json` or TEMPLATE")
	return cmd
}

// mountRow is a line of the list.
type mountRow struct {
	ID    string   `json:"id"`
	Names []string `json:"names"`
	Path  string   `json:"mountpoint"`
}

func (o *mountOptions) list(f *cmdutil.Factory, e *container.Engine) error {
	mounted, errs := e.Mounted()
	var rows []mountRow
	for _, m := range mounted {
		id := m.Short()
		if o.noTrunc || o.format == "json" {
			id = m.ID
		}
		rows = append(rows, mountRow{ID: id, Names: []string{m.Name}, Path: m.Path})
	}
	l := cmdutil.List[mountRow]{Default: `{{.ID}}\t{{.Path}}`, NoHeading: true}
	return errors.Join(cmdutil.Render(f.Out, o.format, l, rows), errors.Join(errs...))
}

func newUnmount(f *cmdutil.Factory) *cobra.Command {
	var all, force bool
	cmd := &cobra.Command{
		Use:     "unmount [flags] CONTAINER...",
		Aliases: []string{"umount"},
		Short:   `Undo "nook mount"`,
		Long:    "Take the root file systems of containers out of sight again, also while they are\nin use, and print what was asked for.",
		Example: "  nook unmount web",
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return problem.Hint(errors.New("unmount: give containers, or --all"), "run: %s --help", cmd.CommandPath())
			}
			return f.Unshared(cmd.Context(), func(_ context.Context, e *container.Engine) error {
				return eachOf(f, e, pick{args, all}, func(c *state.Container, name string) error {
					was, err := e.Unmount(c)
					if err == nil && (was || !all) {
						fmt.Fprintln(f.Out, name)
					}
					return err
				})
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&all, "all", "a", false, "every container")
	fl.BoolVarP(&force, "force", "f", false, "also while a program uses it, which unmount does with or without this")
	return cmd
}

// pick says which containers a verb is for.
type pick struct {
	names []string
	all   bool
}

// eachOf calls do for all of p, and goes on after one that fails.
func eachOf(f *cmdutil.Factory, e *container.Engine, p pick, do func(c *state.Container, name string) error) error {
	var failed bool
	try := func(c *state.Container, name string, err error) {
		if err == nil {
			err = do(c, name)
		}
		if err != nil {
			failed = true
			f.Report(err)
		}
	}
	if p.all {
		all, errs := e.State.List()
		for _, err := range errs {
			try(nil, "", err)
		}
		for _, c := range all {
			try(c, c.ID, nil)
		}
	}
	for _, name := range p.names {
		c, err := find(e.State, name)
		try(c, name, err)
	}
	if failed {
		return &cmdutil.ExitError{Code: cmdutil.ExitFailure}
	}
	return nil
}

// find is Lookup with advice.
func find(s state.Store, name string) (*state.Container, error) {
	c, err := s.Lookup(name)
	if errors.Is(err, state.ErrNotFound) {
		err = problem.Hint(err, "run: nook ps -a")
	}
	return c, err
}
