package container

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/monitor"
)

func newCreate(f *cmdutil.Factory) *cobra.Command {
	o := &createFlags{}
	cmd := &cobra.Command{
		Use:     "create [flags] IMAGE [COMMAND [ARG...]]",
		Short:   "Make a container without starting it",
		Long:    "Make a container from an image, without starting it, and print its id.",
		Example: "  nook create --name web nginx\n  nook start -a web",
		Args:    cmdutil.MinArgs(1, "an image"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.create(cmd.Context(), f, args)
		},
	}
	cmd.Flags().SetInterspersed(false)
	o.add(cmd.Flags())
	return cmd
}

func (o *createFlags) create(ctx context.Context, f *cmdutil.Factory, args []string) error {
	o.req.Spec.DetachKeys = attach.DefaultDetachKeys
	req, err := o.request(args, hereNow(f))
	if err != nil {
		return err
	}
	if req.Spec.Requires, err = findRequired(f, o.session.requires); err != nil {
		return err
	}
	made, err := o.resolve(f, &req)
	if err != nil {
		return err
	}
	return dropUnused(made, create(ctx, f, req))
}

func create(ctx context.Context, f *cmdutil.Factory, req container.Request) error {
	if _, err := sessionSecrets(ctx, f, req.Spec.Secrets); err != nil {
		return err
	}
	id, err := makeContainer(ctx, f, req)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f.Out, id)
	return err
}

// makeContainer has the inner half make a container, and returns its id.
func makeContainer(ctx context.Context, f *cmdutil.Factory, req container.Request) (id string, err error) {
	groups, err := f.Cgroups()
	if err != nil {
		return "", err
	}
	if err := container.CheckPlace(ctx, req.Spec, groups); err != nil {
		return "", err
	}
	engine, conn, err := (&call{Request: &req}).ask(ctx, f, nil)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	(&view{}).signals(func() { _ = engine.Process.Signal(monitor.GiveUp) }, nil)
	exit, err := (&attach.Client{Out: f.Out, Err: f.Err}).Run(conn)
	return exit.ID, outcome(exit, err)
}
