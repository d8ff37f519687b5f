package volume

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/problem"
)

type removeOptions struct {
	force, all bool
	timeout    int
}

func newRemove(f *cmdutil.Factory) *cobra.Command {
	o := &removeOptions{}
	cmd := &cobra.Command{
		Use:     "rm [flags] VOLUME...",
		Aliases: []string{"remove"},
		Short:   "Remove volumes",
		Long: `Remove volumes with all their files, and print their names. A host directory
that a volume stands for stays.

Exit status: 1 if a volume does not exist, 2 if one is in use by a container, 125
for any other failure.`,
		Example: "  nook volume rm data",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.all == (len(args) > 0):
				return errors.New("volume rm: give volumes, or --all")
			case o.timeout < -1:
				return fmt.Errorf("--time %d: want seconds, or -1", o.timeout)
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				return o.run(ctx, f, e, args)
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.force, "force", "f", false, "remove the containers that use it first; a missing volume is no error")
	fl.BoolVarP(&o.all, "all", "a", false, "every volume")
	fl.IntVarP(&o.timeout, "time", "t", int(container.DefaultStopTimeout/time.Second), "with --force, seconds between the stop signal and SIGKILL; -1 waits for ever")
	return cmd
}

func (o *removeOptions) run(ctx context.Context, f *cmdutil.Factory, e *container.Engine, names []string) error {
	if o.all {
		vols, errs := e.Volumes().List()
		if len(errs) > 0 {
			return errors.Join(errs...)
		}
		for _, v := range vols {
			names = append(names, v.Name)
		}
	}
	opts := container.RemoveOptions{Force: o.force, Timeout: time.Duration(o.timeout) * time.Second}
	if o.timeout < 0 {
		opts.Timeout = time.Duration(1<<63 - 1)
	}
	status := 0
	for _, name := range names {
		err := e.RemoveVolume(ctx, name, opts)
		switch {
		case err == nil:
			fmt.Fprintln(f.Out, name)
			continue
		case errors.Is(err, volume.ErrNotFound) && o.force:
			continue
		}
		status = max(status, failure(err))
		f.Report(err)
	}
	if err := e.Volumes().Sweep(); err != nil {
		f.Notice("clean up after a killed command: " + err.Error())
	}
	if status != 0 {
		return &cmdutil.ExitError{Code: status}
	}
	return nil
}

// failure is the exit status for one volume; of several the highest counts.
func failure(err error) int {
	switch {
	case errors.Is(err, volume.ErrNotFound):
		return exitNotFound
	case errors.Is(err, volume.ErrInUse):
		return exitInUse
	default:
		return cmdutil.ExitFailure
	}
}

type pruneOptions struct {
	force, all, dryRun bool
	filters            []string
}

func newPrune(f *cmdutil.Factory) *cobra.Command {
	o := &pruneOptions{}
	cmd := &cobra.Command{
		Use:   "prune [flags]",
		Short: "Remove volumes that no container uses",
		Long: `Remove the anonymous volumes that no container uses, or with --all those with a
name too, and print their names.`,
		Example: "  nook volume prune\n  nook volume prune --all --filter label=test --force",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keep, err := o.keep(f)
			if err != nil {
				return err
			}
			return f.InEngine(cmd.Context(), func(ctx context.Context, e *container.Engine) error {
				return o.run(ctx, f, e, keep)
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.force, "force", "f", false, "do not ask")
	fl.BoolVarP(&o.all, "all", "a", false, "also volumes with a name")
	fl.BoolVar(&o.dryRun, "dry-run", false, "print what would be removed, and remove nothing")
	fl.StringArrayVar(&o.filters, "filter", nil, "only volumes with `KEY=VALUE`: all, anonymous, label, label!, since or until")
	return cmd
}

// keep returns the test of what is to be removed. "all=true" is Docker's filter
// for --all.
func (o *pruneOptions) keep(f *cmdutil.Factory) (func(*Inspect) bool, error) {
	known := filters(f)
	for key := range known {
		if !slices.Contains([]string{"anonymous", "label", "label!", "since", "after", "until"}, key) {
			delete(known, key)
		}
	}
	known["all"] = cmdutil.Bool(func(*Inspect) bool { return true })
	wide := o.all
	var rest []string
	for _, arg := range o.filters {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "all":
			if _, err := known.Compile([]string{arg}); err != nil {
				return nil, err
			}
			wide = wide || value == "true" || value == "1"
			continue
		case "anonymous":
			wide = true // it says itself which
		}
		rest = append(rest, arg)
	}
	match, err := known.Compile(rest)
	if err != nil {
		return nil, err
	}
	return func(in *Inspect) bool { return in.users == 0 && (wide || in.Anonymous) && match(in) }, nil
}

func (o *pruneOptions) run(ctx context.Context, f *cmdutil.Factory, e *container.Engine, keep func(*Inspect) bool) error {
	list, err := all(f)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(in *Inspect) bool { return !keep(in) })
	if !o.force && !o.dryRun && len(list) > 0 {
		if yes, err := o.ask(f, list); err != nil || !yes {
			return err
		}
	}
	if o.dryRun {
		for _, in := range list {
			fmt.Fprintln(f.Out, in.Name)
		}
		return nil
	}
	removed, err := removeAll(ctx, e, list)
	for _, name := range removed {
		fmt.Fprintln(f.Out, name)
	}
	return err
}

// removeAll returns the names of those that are gone.
func removeAll(ctx context.Context, e *container.Engine, list []*Inspect) (removed []string, err error) {
	var errs []error
	for _, in := range list {
		err := e.RemoveVolume(ctx, in.Name, container.RemoveOptions{})
		switch {
		case err == nil:
			removed = append(removed, in.Name)
		case errors.Is(err, volume.ErrNotFound) || errors.Is(err, volume.ErrInUse): // since we looked
		default:
			errs = append(errs, err)
		}
	}
	errs = append(errs, e.Volumes().Sweep())
	e.Volumes().Pruned()
	return removed, errors.Join(errs...)
}

// Prune removes the anonymous volumes that no container uses, of those that the
// filters select, and returns their names.
func Prune(ctx context.Context, f *cmdutil.Factory, e *container.Engine, args []string) ([]string, error) {
	o := &pruneOptions{filters: args}
	keep, err := o.keep(f)
	if err != nil {
		return nil, err
	}
	list, err := all(f)
	if err != nil {
		return nil, err
	}
	return removeAll(ctx, e, slices.DeleteFunc(list, func(in *Inspect) bool { return !keep(in) }))
}

// ask lets the user decide. No answer is an error, so that a script notices.
func (o *pruneOptions) ask(f *cmdutil.Factory, list []*Inspect) (bool, error) {
	fmt.Fprintln(f.Err, "WARNING! This will remove these volumes with all their files:")
	for _, in := range list {
		fmt.Fprintln(f.Err, in.Name)
	}
	fmt.Fprint(f.Err, "Are you sure you want to continue? [y/N] ")
	answer, err := bufio.NewReader(f.In).ReadString('\n')
	if err != nil && answer == "" {
		return false, problem.Hint(errors.New("volume prune: no answer"), "add: --force")
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}
