package container

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/problem"
)

type cloneOptions struct {
	name, pod           string
	run, destroy, force bool
	limits              resourceFlags
}

func newClone(f *cmdutil.Factory) *cobra.Command {
	o := &cloneOptions{}
	cmd := &cobra.Command{
		Use:   "clone [flags] CONTAINER [NAME [IMAGE]]",
		Short: "Make another container as one was made",
		Long: `Make a container with the settings of another one, or of its image in place of the
other's, and print its id. Without a name it is CONTAINER-clone.

Files that the container changed stay with it. Volumes with a name are shared by
both; anonymous ones are made anew.`,
		Example: "  nook container clone web web2\n  nook container clone --destroy --run web web2 nginx:1.29",
		Args:    cobra.RangeArgs(1, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.clone(cmd.Context(), f, args)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&o.name, "name", "", "name of the new container")
	fl.BoolVar(&o.run, "run", false, "start it")
	fl.BoolVar(&o.destroy, "destroy", false, "remove the other container, once the new one is made")
	fl.BoolVarP(&o.force, "force", "f", false, "with --destroy, also if it runs")
	fl.StringVar(&o.pod, "pod", "", "pod to be in, by name or id (default: the other's); what does not go with its namespaces is lost")
	o.limits.add(fl)
	return cmd
}

func (o *cloneOptions) clone(ctx context.Context, f *cmdutil.Factory, args []string) error {
	if o.force && !o.destroy {
		return errors.New("--force needs --destroy")
	}
	s, err := f.State()
	if err != nil {
		return err
	}
	c, err := find(s, args[0])
	if err != nil {
		return err
	}
	req, err := o.request(s, c, args[1:])
	if err != nil {
		return err
	}
	secrets, err := sessionSecrets(ctx, f, req.Spec.Secrets)
	if err != nil {
		return err
	}
	var id string
	if o.run {
		streams, serr := ownStreams(f, req.Spec.Log.Driver)
		if serr != nil {
			return serr
		}
		req.Run = true
		id, err = background(ctx, f, call{Request: &req, Secrets: secrets}, streams)
	} else {
		id, err = makeContainer(ctx, f, req)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f.Out, id)
	return err
}

// request is what would make a container like c.
func (o *cloneOptions) request(s state.Store, c *state.Container, args []string) (container.Request, error) {
	r := container.Request{Spec: c.Spec}
	if err := o.check(c); err != nil {
		return r, err
	}
	r.Spec.Mounts = slices.Clone(c.Spec.Mounts)
	for i := range r.Spec.Mounts {
		m := &r.Spec.Mounts[i]
		if m.ImageID = ""; m.OwnName {
			m.Volume, m.OwnName = "", false
		}
	}
	r.Spec.VolumesFrom = nil // they are among the mounts
	if o.destroy {
		r.Destroy = c.ID
	}
	if len(args) == 2 {
		r.Spec.Image, r.Spec.RootFS = args[1], ""
	}
	switch {
	case len(args) > 0 && o.name != "":
		return r, errors.New("clone: a name and --name exclude each other")
	case len(args) > 0:
		r.Spec.Name = args[0]
	case o.name != "":
		r.Spec.Name = o.name
	default:
		r.Spec.Name = freeName(s, c.Name+"-clone")
	}
	if err := o.limits.read(&r.Spec.Resources); err != nil {
		return r, err
	}
	if err := o.intoPod(s, &r.Spec); err != nil {
		return r, err
	}
	return r, syntax.Name(r.Spec.Name)
}

// intoPod is about --pod.
func (o *cloneOptions) intoPod(s state.Store, c *spec.Container) error {
	if o.pod == "" {
		return nil
	}
	pods := pod.Of(s)
	p, err := pods.Lookup(o.pod)
	if errors.Is(err, pod.ErrNotFound) {
		err = problem.Hint(err, "run: nook pod create %s", o.pod)
	}
	if err != nil || p.ID == c.Pod {
		return err
	}
	var from *pod.Pod
	if c.Pod != "" {
		if from, err = pods.Lookup(c.Pod); err != nil {
			return err
		}
	}
	if err := container.IntoPod(c, p, from); err != nil {
		return err
	}
	return checkOwners(s, c, p)
}

// checkOwners looks at namespaces of other containers that are not the pod's.
func checkOwners(s state.Store, c *spec.Container, p *pod.Pod) error {
	for kind, mode := range map[string]string{"network": c.Network, "ipc": c.IPC, "pid": c.PID, "uts": c.UTS, "cgroup": c.CgroupNS} {
		id, ok := ocispec.Joined(mode)
		if !ok || id == p.InfraID {
			continue
		}
		other, err := s.Lookup(id)
		if err != nil {
			return fmt.Errorf("its %s namespace: %w", kind, err)
		}
		if owner(other) != owner(&state.Container{Config: state.Config{Spec: *c}}) {
			return fmt.Errorf("its %s namespace is that of %s, which is not of the user namespace that pod %s has", kind, other.Name, p.Name)
		}
	}
	return nil
}

// check refuses what can't be cloned.
func (o *cloneOptions) check(c *state.Container) error {
	if c.Spec.Infra {
		return problem.Hint(fmt.Errorf("clone %s: %w", c.Name, container.ErrInfra), "run: nook pod clone %s", c.Spec.Pod[:12])
	}
	if err := startable(c); err != nil {
		return err
	}
	if c.Spec.Log.Path != "" && !o.destroy {
		return problem.Hint(fmt.Errorf("clone %s: both would write to the log %s", c.Name, c.Spec.Log.Path), "add: --destroy")
	}
	if !o.destroy || o.force {
		return nil
	}
	st, err := c.Status()
	if err == nil && st.Monitor != 0 {
		err = problem.Hint(fmt.Errorf("remove %s: %w", c.Name, state.ErrRunning), "add: --force")
	}
	return err
}

// freeName is name, or with a number behind it if another container has it.
func freeName(s state.Store, name string) string {
	for n := 0; ; n++ {
		try := name
		if n > 0 {
			try = fmt.Sprint(name, n)
		}
		if c, err := s.Lookup(try); err != nil || c.Name != try {
			return try
		}
	}
}
