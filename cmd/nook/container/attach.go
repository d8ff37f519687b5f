package container

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/pkg/logs"
)

type attachOptions struct {
	view
	noStdin, latest bool
}

func newAttach(f *cmdutil.Factory) *cobra.Command {
	o := &attachOptions{}
	cmd := &cobra.Command{
		Use:   "attach [flags] CONTAINER",
		Short: "Show a running container, and type into it",
		Long: `Show what a running container prints from now on, and pass standard input and
signals on to it, until it ends or the detach keys are typed.

The exit status is the container's. Any number of clients can be attached.`,
		Example: "  nook attach web\n  nook attach --no-stdin --sig-proxy=false web",
		RunE: func(_ *cobra.Command, args []string) error {
			t := targets{verb: "attach", latest: o.latest}
			c, err := t.one(f, args)
			if err != nil {
				return err
			}
			return o.attach(f, c.ID)
		},
	}
	cmd.Flags().BoolVarP(&o.latest, "latest", "l", false, "to the container made last")
	cmd.Flags().BoolVar(&o.noStdin, "no-stdin", false, "keep standard input from the container")
	o.addView(cmd.Flags())
	return cmd
}

func (o *attachOptions) attach(f *cmdutil.Factory, name string) error {
	if _, err := attach.ParseKeys(o.keys); err != nil {
		return err
	}
	s, err := f.State()
	if err != nil {
		return err
	}
	c, err := s.Lookup(name)
	if err != nil {
		return err
	}
	if logs.PassesThrough(c.Spec.Log.Driver) {
		return fmt.Errorf("attach to %s: its log driver is %s: the streams are those of the command that started it", c.Name, c.Spec.Log.Driver)
	}
	o.tty, o.stdin = c.Spec.TTY, !o.noStdin && c.Spec.OpenStdin
	hello := monitor.Hello{NoStdin: !o.stdin}
	if o.tty {
		if now, err := size(f); err == nil {
			hello.Size = now
		}
	}
	conn, err := container.Attach(c, hello)
	if err != nil {
		return err
	}
	defer conn.Close()
	return o.watch(f, conn, func() { conn.Close() })
}
