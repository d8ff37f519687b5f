package pod

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/container"
	libcontainer "github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/statefile"
)

type createOptions struct {
	flags   container.PodFlags
	idFile  string
	replace bool
}

func newCreate(f *cmdutil.Factory) *cobra.Command {
	o := &createOptions{}
	cmd := &cobra.Command{
		Use:   "create [flags] [NAME]",
		Short: "Make a pod",
		Long: `Make a pod without containers, and print its id. Containers that are made with
--pod share its network, ipc and uts namespaces, unless --share says otherwise:
they see each other at 127.0.0.1 and have one host name.`,
		Example: "  nook pod create web\n  nook run -d --pod web nginx\n  nook run -d --pod new:db postgres",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), f, cmd, args)
		},
	}
	o.flags.Add(cmd.Flags())
	cmd.Flags().StringVar(&o.idFile, "pod-id-file", "", "write the pod's id to this file")
	cmd.Flags().BoolVar(&o.replace, "replace", false, "remove a pod of the same name first")
	return cmd
}

func (o *createOptions) run(ctx context.Context, f *cmdutil.Factory, cmd *cobra.Command, args []string) error {
	s, err := o.read(f, cmd, args)
	if err != nil {
		return err
	}
	st, err := f.State()
	if err != nil {
		return err
	}
	groups, err := f.Cgroups()
	if err != nil {
		return err
	}
	if err := libcontainer.CheckPodPlace(ctx, s, groups); err != nil {
		return err
	}
	if o.replace {
		switch _, err := pod.Of(st).Lookup(s.Name); {
		case errors.Is(err, pod.ErrNotFound):
		case err != nil:
			return err
		default: // to remove its containers takes the engine
			return f.InEngine(ctx, func(ctx context.Context, e *libcontainer.Engine) error {
				if err := replace(ctx, e, s.Name); err != nil {
					return err
				}
				return o.create(f, s, e.CreatePod)
			})
		}
	}
	if libcontainer.NeedsEngine(s) {
		return f.InEngine(ctx, func(_ context.Context, e *libcontainer.Engine) error { return o.create(f, s, e.CreatePod) })
	}
	return o.create(f, s, func(s spec.Pod, command []string) (*pod.Pod, error) { return libcontainer.CreatePod(st, s, command) })
}

// read turns the command line into a request.
func (o *createOptions) read(f *cmdutil.Factory, cmd *cobra.Command, args []string) (s spec.Pod, err error) {
	if len(args) == 1 {
		if cmd.Flags().Changed("name") {
			return s, errors.New("pod create: give one name")
		}
		if err := cmd.Flags().Set("name", args[0]); err != nil {
			return s, err
		}
	}
	if s, err = o.flags.Read(f); err != nil {
		return s, err
	}
	if o.replace && s.Name == "" {
		return s, errors.New("--replace needs a name")
	}
	if o.idFile != "" {
		if _, err := os.Lstat(o.idFile); err == nil {
			return s, taken(o.idFile)
		}
	}
	return s, nil
}

func replace(ctx context.Context, e *libcontainer.Engine, name string) error {
	p, err := pod.Of(e.State).Lookup(name)
	if errors.Is(err, pod.ErrNotFound) || err == nil && p.Name != name {
		return nil
	}
	if err != nil {
		return err
	}
	return e.RemovePod(ctx, p, libcontainer.RemoveOptions{Force: true, Timeout: libcontainer.OwnGrace})
}

func (o *createOptions) create(f *cmdutil.Factory, s spec.Pod, makePod func(spec.Pod, []string) (*pod.Pod, error)) error {
	p, err := makePod(s, append([]string{"nook"}, f.Args...))
	if err != nil {
		return err
	}
	if o.idFile != "" {
		if err := statefile.CreateExclusive(o.idFile, []byte(p.ID)); err != nil {
			return errors.Join(problem.Hint(fmt.Errorf("write pod id file: %w", err), "run: rm %s", o.idFile), libcontainer.DropEmptyPod(p))
		}
	}
	_, err = fmt.Fprintln(f.Out, p.ID)
	return err
}

func taken(path string) error {
	return problem.Hint(fmt.Errorf("pod id file %s: already exists", path), "run: rm %s", path)
}
