package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/syntax"
)

type updateOptions struct {
	targets
	resourceFlags
	health        healthFlags
	restart       string
	env, unsetEnv []string
	ulimits       []string
	dir           string
	environ       []string
}

func newUpdate(f *cmdutil.Factory) *cobra.Command {
	o := &updateOptions{targets: targets{verb: "update"}}
	cmd := &cobra.Command{
		Use:   "update [flags] CONTAINER...",
		Short: "Change limits, restart policy, health check and environment of containers",
		Long: `Change what containers are allowed, and how their health is checked: at once where
they run, and for their next start. What no flag names stays as it is. What the
kernel refuses is an error, and changes nothing.

The environment and the limits of --ulimit are those of the command, which has them
from its start: they change with the next one. A startup check that is new waits for
that, too.`,
		Example: "  nook update --memory 1g --cpus 2 web\n  nook update --restart unless-stopped db\n  nook update --health-interval 10s db",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.update(cmd.Context(), f, args)
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = true
	o.resourceFlags.add(fl)
	o.health.add(fl)
	fl.StringArrayVarP(&o.env, "env", "e", nil, "environment variable: NAME=VALUE, NAME or PREFIX*; with the next start")
	fl.StringArrayVar(&o.unsetEnv, "unsetenv", nil, "variable not to set; with the next start")
	fl.StringArrayVar(&o.ulimits, "ulimit", nil, "resource limit: NAME=SOFT[:HARD]; with the next start")
	fl.StringVar(&o.restart, "restart", "", "when to start the container again: no, on-failure[:N], always or unless-stopped")
	fl.BoolVarP(&o.latest, "latest", "l", false, "the container made last")
	return cmd
}

func (o *updateOptions) update(ctx context.Context, f *cmdutil.Factory, args []string) error {
	groups, err := f.Cgroups()
	if err != nil {
		return err
	}
	if o.dir, err = os.Getwd(); err != nil {
		return err
	}
	o.environ = f.Environ
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
	if err := o.changeProcess(c); err != nil {
		return err
	}
	if err := o.health.read(&c.Health, o.dir); err != nil {
		return err
	}
	if err := checkHealthRestarts(*c); err != nil {
		return err
	}
	return o.read(&c.Resources)
}

// changeProcess changes what the command has of its start.
func (o *updateOptions) changeProcess(c *spec.Container) error {
	for _, name := range o.unsetEnv {
		if name == "" || strings.Contains(name, "=") {
			return fmt.Errorf("--unsetenv %q: want a name", name)
		}
		c.Env = slices.DeleteFunc(slices.Clone(c.Env), func(e string) bool { return strings.HasPrefix(e, name+"=") })
		if !slices.Contains(c.Session.DropEnv, name) {
			c.Session.DropEnv = append(slices.Clone(c.Session.DropEnv), name)
		}
	}
	for _, e := range o.env {
		entries, err := syntax.Env(e, o.environ)
		if err != nil {
			return err
		}
		c.Env = append(slices.Clone(c.Env), entries...)
	}
	for _, text := range o.ulimits {
		u, err := readUlimit(text)
		if err != nil {
			return err
		}
		others := slices.DeleteFunc(slices.Clone(c.Ulimits), func(x spec.Ulimit) bool { return x.Name == u.Name })
		c.Ulimits = append(others, u)
	}
	return nil
}

func readUlimit(text string) (spec.Ulimit, error) {
	u, err := syntax.Ulimit(text)
	if err == nil {
		err = ocispec.CheckUlimit(u)
	}
	return u, err
}
