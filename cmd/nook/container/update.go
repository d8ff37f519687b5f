package container

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/syntax"
)

type updateOptions struct {
	targets
	resourceFlags
	restart string
}

func newUpdate(f *cmdutil.Factory) *cobra.Command {
	o := &updateOptions{targets: targets{verb: "update"}}
	cmd := &cobra.Command{
		Use:   "update [flags] CONTAINER...",
		Short: "Change the limits and the restart policy of containers",
		Long: `Change what containers are allowed: at once where they run, and for their next
start. What no flag names stays as it is. What the kernel refuses is an error,
and changes nothing.`,
		Example: "  nook update --memory 1g --cpus 2 web\n  nook update --restart unless-stopped db",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.update(cmd.Context(), f, args)
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = true
	o.resourceFlags.add(fl)
	fl.StringVar(&o.restart, "restart", "", "when to start the container again: no, on-failure[:N], always or unless-stopped")
	fl.BoolVarP(&o.latest, "latest", "l", false, "the container made last")
	return cmd
}

func (o *updateOptions) update(ctx context.Context, f *cmdutil.Factory, args []string) error {
	groups, err := f.Cgroups()
	if err != nil {
		return err
	}
	s, err := f.State()
	if err != nil {
		return err
	}
	found, err := o.find(f, s, args)
	if err != nil {
		return err
	}
	return each(ctx, f, found, always125, func(_ context.Context, c *state.Container) error {
		return container.Update(c, groups, o.change)
	})
}

func (o *updateOptions) change(c *spec.Container) error {
	if o.set.Changed("restart") {
		policy, err := syntax.Restart(o.restart)
		if err != nil {
			return err
		}
		if policy.Policy != "" && c.Remove {
			return errors.New("--restart and --rm exclude each other")
		}
		c.Restart = policy
	}
	return o.read(&c.Resources)
}
