package network

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
)

func (in *Inspect) isDefault() bool { return in.Name == spec.DefaultNetwork }

type removeOptions struct {
	force   bool
	timeout int
}

func newRemove(f *cmdutil.Factory) *cobra.Command {
	o := &removeOptions{}
	cmd := &cobra.Command{
		Use:     "rm [flags] NETWORK...",
		Aliases: []string{"remove"},
		Short:   "Remove networks",
		Long: `Remove networks and print their names. One that containers are in, running or not,
stays, unless --force removes these too. The exit status is 1 if a network was not
there and nothing else went wrong, 2 if one was in use.`,
		Example: "  nook network rm back\n  nook network rm -f back",
		Args:    cmdutil.MinArgs(1, "a network"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !o.force {
				s, err := open(f)
				if err != nil {
					return err
				}
				return o.run(f, args, s, s.Remove)
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				return o.run(f, args, e.Networks(), func(name string) error { return o.remove(ctx, e, name) })
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.force, "force", "f", false, "remove the containers in it first; a missing network is no error")
	fl.IntVarP(&o.timeout, "time", "t", int(container.DefaultStopTimeout/time.Second), "with --force, seconds between the stop signal and SIGKILL; -1 waits for ever")
	return cmd
}

func (o *removeOptions) run(f *cmdutil.Factory, names []string, s network.Store, remove func(string) error) error {
	status := 0
	for _, name := range names {
		n, err := s.Lookup(name)
		if err == nil {
			name = n.Name
		}
		if err == nil || !errors.Is(err, network.ErrNotFound) && !errors.Is(err, network.ErrAmbiguous) {
			err = remove(name) // also one that is damaged
		}
		switch {
		case err == nil:
			fmt.Fprintln(f.Out, name)
			continue
		case errors.Is(err, network.ErrNotFound) && o.force:
			continue
		}
		status = max(status, failure(err))
		f.Report(err)
	}
	if status != 0 {
		return &cmdutil.ExitError{Code: status}
	}
	return nil
}

// remove removes the containers that are in a network, and then it.
func (o *removeOptions) remove(ctx context.Context, e *container.Engine, name string) error {
	err := e.Networks().Remove(name)
	if !errors.Is(err, network.ErrInUse) {
		return err
	}
	users, err := e.Networks().Users()
	if err != nil {
		return err
	}
	opts := container.RemoveOptions{Force: true, Timeout: time.Duration(o.timeout) * time.Second}
	if o.timeout < 0 {
		opts.Timeout = time.Duration(1<<63 - 1)
	}
	for _, c := range users[name] {
		if err := e.Remove(ctx, c, opts); err != nil {
			return err
		}
	}
	return e.Networks().Remove(name)
}

// failure is the exit status for one network; of several the highest counts.
func failure(err error) int {
	switch {
	case errors.Is(err, network.ErrNotFound):
		return exitNotFound
	case errors.Is(err, network.ErrInUse):
		return exitInUse
	default:
		return cmdutil.ExitFailure
	}
}

func newPrune(f *cmdutil.Factory) *cobra.Command {
	var force bool
	var args []string
	cmd := &cobra.Command{
		Use:     "prune [flags]",
		Short:   "Remove networks that no container is in",
		Long:    "Remove the networks that no container, running or not, is in, but for the default one,\nand print their names.",
		Example: "  nook network prune --force\n  nook network prune --filter until=24h",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := pruneFilters().Compile(args); err != nil {
				return err
			}
			ok, err := f.Confirm("This removes all networks that no container is in.", force)
			if err != nil || !ok {
				return err
			}
			removed, err := Prune(f, args)
			for _, name := range removed {
				fmt.Fprintln(f.Out, name)
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	cmd.Flags().StringArrayVar(&args, "filter", nil, "only networks with `KEY=VALUE`: label, label! or until")
	return cmd
}

func pruneFilters() cmdutil.Filters[*Inspect] {
	known := filters()
	for key := range known {
		if !slices.Contains([]string{"label", "label!", "until"}, key) {
			delete(known, key)
		}
	}
	return known
}

// Prune removes the networks that no container is in, of those that the filters
// select, and returns their names.
func Prune(f *cmdutil.Factory, args []string) (removed []string, err error) {
	keep, err := pruneFilters().Compile(args)
	if err != nil {
		return nil, err
	}
	s, err := open(f)
	if err != nil {
		return nil, err
	}
	list, err := all(f)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, in := range list {
		if in.users > 0 || in.isDefault() || !keep(in) {
			continue
		}
		err := s.Remove(in.Name)
		switch {
		case err == nil:
			removed = append(removed, in.Name)
		case errors.Is(err, network.ErrNotFound) || errors.Is(err, network.ErrInUse): // since we looked
		default:
			errs = append(errs, err)
		}
	}
	s.Pruned()
	return removed, errors.Join(errs...)
}
