package container

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/oci/seed"
	"github.com/nook-containers/nook/pkg/problem"
)

type runOptions struct {
	createFlags
	view
	detach, rmi, passwd bool
}

func newRun(f *cmdutil.Factory) *cobra.Command {
	o := &runOptions{}
	cmd := &cobra.Command{
		Use:   "run [flags] IMAGE [COMMAND [ARG...]]",
		Short: "Run a command in a new container",
		Long: `Run a command in a new container made from an image, and show it until it ends.

The exit status is the command's: 128+n if signal n ended it, 126 if it cannot
be executed, 127 if it does not exist. 125 is nook's own failure.

Sockets that a service manager opened for this command (LISTEN_FDS, LISTEN_PID and
LISTEN_FDNAMES, see sd_listen_fds(3)) are passed on to the container's first process.`,
		Example: "  nook run --rm -it docker.io/library/debian sh\n  nook run --rm -v .:/src -w /src golang go test ./...",
		Args:    cmdutil.MinArgs(1, "an image"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), f, args)
		},
	}
	fl := cmd.Flags()
	fl.SetInterspersed(false) // what follows the image belongs to its command
	o.add(fl)
	o.addView(fl)
	fl.IntVar(&o.req.Spec.PreserveFDs, "preserve-fds", 0, "pass descriptors 3 to 2+N on to the container")
	fl.BoolVarP(&o.detach, "detach", "d", false, "run in the background and print the id")
	fl.BoolVar(&o.rmi, "rmi", false, "with --rm, remove the image too, unless another container is made of it")
	fl.BoolVar(&o.passwd, "passwd", true, "add a user unknown to the image to /etc/passwd")
	return cmd
}

func (o *runOptions) run(ctx context.Context, f *cmdutil.Factory, args []string) error {
	req, err := o.complete(f, args)
	if err != nil {
		return err
	}
	made, err := o.resolve(f, &req)
	if err != nil {
		return err
	}
	return dropUnused(made, o.start(ctx, f, req, args[0]))
}

func (o *runOptions) start(ctx context.Context, f *cmdutil.Factory, req container.Request, image string) error {
	extra, sockets, err := handed(req.Spec)
	if err != nil {
		return err
	}
	secrets, err := sessionSecrets(ctx, f, req.Spec.Secrets)
	if err != nil {
		return err
	}
	streams, err := ownStreams(f, req.Spec.Log.Driver)
	if err != nil {
		return err
	}
	extra = append(streams, extra...)
	if err := startRequired(ctx, f, req.Spec.Requires); err != nil {
		return err
	}
	o.tty, o.stdin, o.only = req.Spec.TTY, req.Spec.OpenStdin && streams == nil, req.Spec.Session.Attach
	c := call{Request: &req, Secrets: secrets, Sockets: sockets}
	if !o.detach {
		err := o.show(ctx, f, c, extra)
		if o.rmi {
			err = errors.Join(err, removeImage(ctx, f, image))
		}
		return err
	}
	id, err := background(ctx, f, c, extra)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f.Out, id)
	return err
}

// complete is the request that the flags make.
func (o *runOptions) complete(f *cmdutil.Factory, args []string) (req container.Request, err error) {
	o.req.Spec.DetachKeys = o.keys
	o.req.Spec.Session.NoPasswd = !o.passwd
	o.req.Spec.Remove = o.req.Spec.Remove || o.rmi
	switch {
	case o.detach && o.rmi:
		return req, problem.Hint(errors.New("--rmi and --detach exclude each other"), "run: nook rmi IMAGE when it has ended")
	case o.rmi && o.rootfs:
		return req, errors.New("--rmi and --rootfs exclude each other")
	case o.detach && len(o.session.attach) > 0:
		return req, errors.New("--attach and --detach exclude each other")
	}
	if req, err = o.request(args, hereNow(f)); err != nil {
		return req, err
	}
	req.Run = true
	req.Spec.Requires, err = findRequired(f, o.session.requires)
	return req, err
}

// removeImage is "nook rmi", but for an image in use, which stays.
func removeImage(ctx context.Context, f *cmdutil.Factory, image string) error {
	err := f.Also(ctx, nil, "rmi", image)
	if exit, ok := errors.AsType[*cmdutil.ExitError](err); ok && exit.Code == exitInUse {
		return nil
	}
	return err
}

// hereNow is what relative paths and environment flags refer to.
func hereNow(f *cmdutil.Factory) host {
	dir, err := os.Getwd()
	if err != nil {
		dir = "/" // only a relative path in a flag would notice
	}
	return host{dir: dir, args: f.Args, environ: f.Environ, stdin: f.In, notice: f.Notice}
}

// call is the Open frame: what the outer half asks the inner one for. Exactly one
// of its parts is set.
type call struct {
	Globals cmdutil.Globals `json:"globals"`
	Request *requestCall    `json:"request,omitempty"`
	Start   *startCall      `json:"start,omitempty"`
	Detach  bool            `json:"detach,omitempty"` // the outer half leaves when the command runs
	// Secrets are those that only the user's session can read.
	Secrets map[string][]byte `json:"secrets,omitempty"`
	Sockets config.Sockets    `json:"sockets,omitzero"` // that a service manager opened for the container

	// Inside only.
	groups *container.FoundGroups `pack:"-"`
	seed   *seed.Seed             `pack:"-"` // of the container, where it was begun early
}

// startCall starts a container that exists.
type startCall struct {
	Name string      `json:"name"`
	Init bool        `json:"init,omitempty"` // all but the command
	Size attach.Size `json:"size,omitzero"`

	named bool `pack:"-"` // on the command line: descriptors that were handed down are for it
}
