package container

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/state"
)

type startOptions struct {
	view
	attach bool
}

func newStart(f *cmdutil.Factory) *cobra.Command {
	o := &startOptions{}
	cmd := &cobra.Command{
		Use:   "start -a [flags] CONTAINER",
		Short: "Start a container that was made before",
		Long: `Start a container that was made before, and show it until it ends.

The exit status is the container's, as with run.`,
		Example: "  nook start -a web\n  nook start -ai shell",
		Args:    cmdutil.ExactArgs(1, "a container"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.start(cmd.Context(), f, args[0])
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&o.attach, "attach", "a", false, "show the container's output until it ends")
	fl.BoolVarP(&o.stdin, "interactive", "i", false, "pass standard input on")
	o.addView(fl)
	return cmd
}

func (o *startOptions) start(ctx context.Context, f *cmdutil.Factory, name string) error {
	if !o.attach {
		return cmdutil.NotYet("start in the background", "add: --attach")
	}
	s, err := f.State()
	if err != nil {
		return err
	}
	c, err := s.Lookup(name)
	if err != nil {
		return err
	}
	if c.Spec.PreserveFDs > 0 {
		return errors.New("the container was made with --preserve-fds: the descriptors are gone")
	}
	st, err := c.Status()
	if err != nil {
		return err
	}
	if st.Word == state.Running {
		return cmdutil.Hinted(c.Name, state.ErrRunning, "run: nook rm -f "+c.Name)
	}
	o.tty, o.stdin = c.Spec.TTY, o.stdin && c.Spec.OpenStdin
	return o.show(ctx, f, call{Start: &startCall{Name: c.ID}}, nil)
}
