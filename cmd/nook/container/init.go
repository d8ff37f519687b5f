package container

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/logs"
)

func newInit(f *cmdutil.Factory) *cobra.Command {
	t := &targets{verb: "init", flags: []string{"--latest", "--all"}}
	cmd := &cobra.Command{
		Use:   "init [flags] CONTAINER...",
		Short: "Prepare containers up to the start of their commands",
		Long: `Set containers up, namespaces, mounts and all, but for the start of their commands,
and print what was asked for. The command start does the rest. It is for those who
want to look at a container or change it in between, by its pid.`,
		Example: "  nook init web\n  nsenter -t $(nook inspect -f {{.State.Pid}} web) -U --net\n  nook start web",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.State()
			if err != nil {
				return err
			}
			if t.all {
				t.filters = append(t.filters, "status="+state.Created, "status="+state.Exited)
			}
			found, err := t.find(f, s, args)
			if err != nil {
				return err
			}
			return each(cmd.Context(), f, found, always125, func(ctx context.Context, c *state.Container) error {
				return initialize(ctx, f, c)
			})
		},
	}
	cmd.Flags().BoolVarP(&t.all, "all", "a", false, "every container that does not run")
	cmd.Flags().BoolVarP(&t.latest, "latest", "l", false, "the container made last")
	return cmd
}

func initialize(ctx context.Context, f *cmdutil.Factory, c *state.Container) error {
	if logs.PassesThrough(c.Spec.Log.Driver) {
		return fmt.Errorf("init %s: its log driver is %s: its streams come with its start", c.Name, c.Spec.Log.Driver)
	}
	if c.Spec.Infra {
		return fmt.Errorf("init %s: %w", c.Name, container.ErrInfra)
	}
	st, err := c.Status()
	if err != nil || st.Word == state.Initialized {
		return err
	}
	if st.Monitor != 0 {
		return fmt.Errorf("init %s: it is %s", c.Name, st.Word)
	}
	return startCalled(ctx, f, c, startCall{Name: c.ID, Init: true, named: true})
}
