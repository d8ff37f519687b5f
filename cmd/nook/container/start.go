package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/problem"
)

type startOptions struct {
	targets
	view
	attach bool
}

func newStart(f *cmdutil.Factory) *cobra.Command {
	o := &startOptions{}
	cmd := &cobra.Command{
		Use:   "start [flags] CONTAINER...",
		Short: "Start containers that were made before",
		Long: `Start containers in the background and print what was asked for, one a line.
With --attach show one until it ends; the exit status is then the container's, as
with run. A container that runs is no error.

Sockets that a service manager opened for this command (LISTEN_FDS) are passed on to
the containers, as with run.`,
		Example: "  nook start web db\n  nook start -ai shell",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.start(cmd.Context(), f, args)
		},
	}
	fl := cmd.Flags()
	o.addAs(fl, "start", "every container", "", "")
	fl.BoolVarP(&o.attach, "attach", "a", false, "show the container's output until it ends")
	fl.BoolVarP(&o.stdin, "interactive", "i", false, "pass standard input on")
	o.addView(fl)
	return cmd
}

func (o *startOptions) start(ctx context.Context, f *cmdutil.Factory, args []string) error {
	s, err := f.State()
	if err != nil {
		return err
	}
	found, err := o.find(f, s, args)
	if err != nil {
		return err
	}
	if o.attach || o.stdin {
		return o.show1(ctx, f, found)
	}
	return each(ctx, f, found, always125, inOrder(found, func(ctx context.Context, c *state.Container) error {
		st, err := c.Status()
		if err != nil || st.Word == state.Running {
			return err
		}
		if st.Word == state.Paused {
			return problem.Hint(fmt.Errorf("start %s: it is paused", c.Name), "run: nook unpause %s", c.Name)
		}
		return startAs(ctx, f, c, startCall{Name: c.ID, named: true})
	}))
}

// inOrder lets work on a container wait for work on those of found that it has
// namespaces of. There are no circles: it was made after them.
func inOrder(found []target, work func(context.Context, *state.Container) error) func(context.Context, *state.Container) error {
	done := map[string]chan struct{}{}
	for _, t := range found {
		if t.err == nil && done[t.c.ID] == nil {
			done[t.c.ID] = make(chan struct{})
		}
	}
	var once sync.Map
	return func(ctx context.Context, c *state.Container) error {
		if _, twice := once.LoadOrStore(c.ID, true); !twice {
			defer close(done[c.ID])
		}
		for _, j := range ocispec.Joins(c.Spec) {
			if first := done[j.From]; first != nil && j.From != c.ID {
				<-first
			}
		}
		return work(ctx, c)
	}
}

// show1 starts one container and shows it, or attaches to it if it runs.
func (o *startOptions) show1(ctx context.Context, f *cmdutil.Factory, found []target) error {
	if len(found) != 1 {
		return errors.New("start --attach: want one container")
	}
	c := found[0].c
	if err := found[0].err; err != nil {
		return err
	}
	st, err := c.Status()
	if err != nil {
		return err
	}
	if st.Word == state.Running {
		return (&attachOptions{view: o.view, noStdin: !o.stdin}).attach(f, c.ID)
	}
	if st.Word == state.Initialized {
		return o.begin(f, c)
	}
	if err := startable(c); err != nil {
		return err
	}
	secrets, err := sessionSecrets(ctx, f, c.Spec.Secrets)
	if err != nil {
		return err
	}
	if err := startRequired(ctx, f, c.Spec.Requires); err != nil {
		return err
	}
	streams, err := ownStreams(f, c.Spec.Log.Driver)
	if err != nil {
		return err
	}
	files, sockets, err := handed(c.Spec)
	if err != nil {
		return err
	}
	o.tty, o.stdin = c.Spec.TTY, o.stdin && c.Spec.OpenStdin && streams == nil
	return o.show(ctx, f, call{Start: &startCall{Name: c.ID}, Secrets: secrets, Sockets: sockets}, append(streams, files...))
}

// begin starts an initialized container and shows it.
func (o *startOptions) begin(f *cmdutil.Factory, c *state.Container) error {
	o.tty, o.stdin = c.Spec.TTY, o.stdin && c.Spec.OpenStdin
	conn, err := container.Begin(c, monitor.Hello{})
	if err != nil {
		return err
	}
	defer conn.Close()
	return o.watch(f, conn, func() { conn.Close() })
}

// startable refuses what only its first command line could give.
func startable(c *state.Container) error {
	if c.Spec.PreserveFDs > 0 {
		return fmt.Errorf("%s: was made with --preserve-fds: the descriptors are gone", c.Name)
	}
	return nil
}

// startAgain starts c in the background.
func startAgain(ctx context.Context, f *cmdutil.Factory, c *state.Container) error {
	return startAs(ctx, f, c, startCall{Name: c.ID})
}

func startAs(ctx context.Context, f *cmdutil.Factory, c *state.Container, s startCall) error {
	st, err := c.Status()
	if err != nil {
		return err
	}
	if st.Word != state.Initialized {
		return startCalled(ctx, f, c, s)
	}
	conn, err := container.Begin(c, monitor.Hello{Leave: true})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = awaitStarted(f, conn)
	return err
}

// startCalled has the inner half start c, in the background.
func startCalled(ctx context.Context, f *cmdutil.Factory, c *state.Container, s startCall) error {
	if err := startable(c); err != nil {
		return err
	}
	secrets, err := sessionSecrets(ctx, f, c.Spec.Secrets)
	if err != nil {
		return err
	}
	streams, err := ownStreams(f, c.Spec.Log.Driver)
	if err == nil {
		err = startRequired(ctx, f, c.Spec.Requires)
	}
	if err != nil {
		return err
	}
	var files []*os.File
	var sockets config.Sockets
	if s.named {
		files, sockets, err = handed(c.Spec)
	}
	if err == nil {
		_, err = background(ctx, f, call{Start: &s, Secrets: secrets, Sockets: sockets}, append(streams, files...))
	}
	return err
}
