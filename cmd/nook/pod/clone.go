package pod

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/container"
	libcontainer "github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/image"
	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/syntax"
)

type cloneOptions struct {
	name           string
	destroy, start bool
	flags          container.PodCloneFlags
}

func newClone(f *cmdutil.Factory) *cobra.Command {
	o := &cloneOptions{}
	cmd := &cobra.Command{
		Use:   "clone [flags] POD [NAME]",
		Short: "Make a pod with the settings and containers of another",
		Long: `Make a pod with the settings of another one, and in it containers as that one has,
from the same images: what was changed in them is not copied. Names get "-clone"
at their end. Limits and id maps that are given replace those of the other pod.
Print the new pod's id.`,
		Example: "  nook pod clone --start web web2",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				if cmd.Flags().Changed("name") {
					return errors.New("pod clone: give one name")
				}
				o.name = args[1]
			}
			if o.name != "" {
				if err := syntax.Name(o.name); err != nil {
					return err
				}
			}
			return o.run(cmd.Context(), f, args[0])
		},
	}
	fl := cmd.Flags()
	fl.StringVarP(&o.name, "name", "n", "", "name of the new pod (default POD-clone)")
	fl.BoolVar(&o.destroy, "destroy", false, "remove the other pod when the new one is there")
	o.flags.Add(fl)
	fl.BoolVar(&o.start, "start", false, "start the new pod")
	return cmd
}

func (o *cloneOptions) run(ctx context.Context, f *cmdutil.Factory, from string) error {
	s, err := open(f)
	if err != nil {
		return err
	}
	old, err := s.Lookup(from)
	if err != nil {
		return hinted(err)
	}
	if o.name == "" {
		o.name = old.Name + "-clone"
	}
	wanted := old.Spec
	if err := o.flags.Change(&wanted); err != nil {
		return err
	}
	groups, err := f.Cgroups()
	if err != nil {
		return err
	}
	if err := libcontainer.CheckPodPlace(ctx, wanted, groups); err != nil {
		return err
	}
	wanted.Name, wanted.InfraName = o.name, ""
	return f.InEngine(ctx, func(ctx context.Context, e *libcontainer.Engine) error {
		made, err := clone(ctx, e, old, wanted)
		if err != nil {
			return err
		}
		if o.destroy {
			if err := e.RemovePod(ctx, old, libcontainer.RemoveOptions{Force: true, Timeout: libcontainer.OwnGrace}); err != nil {
				return err
			}
		}
		if o.start {
			if err := start(ctx, f, made); err != nil {
				return err
			}
		}
		_, err = fmt.Fprintln(f.Out, made.ID)
		return err
	})
}

// clone makes the pod, and its containers one after the other: one may have
// namespaces of another.
func clone(ctx context.Context, e *libcontainer.Engine, old *pod.Pod, wanted spec.Pod) (_ *pod.Pod, err error) {
	members, err := libcontainer.PodMembers(old)
	if err != nil {
		return nil, err
	}
	made, err := e.CreatePod(wanted, old.Command)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.RemovePod(ctx, made, libcontainer.RemoveOptions{Force: true}))
		}
	}()
	ids := map[string]string{old.InfraID: made.InfraID}
	for _, m := range members {
		if m.Spec.Infra || m.Spec.Remove {
			continue // one of "run --rm" is nobody's to keep
		}
		c := cloneOf(m, old, made, ids)
		held, err := e.Create(ctx, libcontainer.Request{Spec: c, Pull: image.PullOptions{Policy: image.Never}})
		if err != nil {
			return nil, fmt.Errorf("clone %s: %w", m.Name, err)
		}
		ids[m.ID] = held.ID
		held.Release()
	}
	return made, nil
}

// cloneOf is m of the pod old for the pod made; ids are those of containers there and
// here.
func cloneOf(m libcontainer.PodMember, old, made *pod.Pod, ids map[string]string) spec.Container {
	c := m.Spec
	c.Name, c.Pod = m.Name+"-clone", made.ID
	c.VolumesFrom = nil // they are among its mounts
	replaceIDs(&c, ids)
	if made.InfraID != "" { // of which all containers of a pod have the user namespace
		c.UserNS = made.Spec.UserNS
		if c.UserNS.Mode != spec.UserNSHost {
			c.UserNS.From = made.InfraID
		}
	}
	if c.PodGroup != nil {
		c.PodGroup = made.Group()
	}
	if c.Hostname == old.Hostname() && made.Spec.Hostname == "" {
		c.Hostname = made.Hostname()
	}
	c.Mounts = slices.Clone(c.Mounts)
	for i := range c.Mounts {
		if c.Mounts[i].OwnName { // it has its own
			c.Mounts[i].Volume = ""
		}
	}
	if m.ImageID != "" {
		c.Image = m.ImageID
	}
	return c
}

// replaceIDs leads what c has of containers of the old pod to those of the new one.
func replaceIDs(c *spec.Container, ids map[string]string) {
	for _, mode := range []*string{&c.Network, &c.IPC, &c.PID, &c.UTS, &c.CgroupNS} {
		if id, ok := ocispec.Joined(*mode); ok && ids[id] != "" {
			*mode = spec.NSContainer + ids[id]
		}
	}
}
