package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/problem"
)

// nsFlags are the flags that say which namespaces a container shares with whom.
type nsFlags struct {
	ipc, pid, uts, cgroupns, userns string
	pod                             string
	podIDFile                       string
}

func (o *nsFlags) add(f *pflag.FlagSet) {
	f.StringVar(&o.ipc, "ipc", "", "shareable (default), private, none, host or container:NAME")
	f.StringVar(&o.pid, "pid", "", "private (default), host or container:NAME")
	f.StringVar(&o.uts, "uts", "", "private (default), host or container:NAME")
	f.StringVar(&o.cgroupns, "cgroupns", "", "what it sees of control groups: private (default), host or container:NAME")
	f.StringVar(&o.userns, "userns", "host", "host, keep-id[:uid=N,gid=N,size=N], nomap, auto[:size=N,uidmapping=MAP,gidmapping=MAP], ns:PATH or container:NAME")
	f.StringVar(&o.pod, "pod", "", "pod to be in, by name or id; or new:NAME for a new one")
	f.StringVar(&o.podIDFile, "pod-id-file", "", "read the pod's id from this file")
}

// read checks the words. What they name is looked up by resolve.
func (o *nsFlags) read(s *spec.Container) (err error) {
	for _, m := range []struct {
		to   *string
		read func(string) (string, error)
		text string
	}{
		{&s.IPC, syntax.IPC, o.ipc},
		{&s.PID, syntax.PID, o.pid},
		{&s.UTS, syntax.UTS, o.uts},
		{&s.CgroupNS, syntax.CgroupNS, o.cgroupns},
	} {
		if *m.to, err = m.read(m.text); err != nil {
			return err
		}
	}
	if o.pod != "" && o.podIDFile != "" {
		return errors.New("--pod and --pod-id-file exclude each other")
	}
	if name, ok := strings.CutPrefix(o.userns, spec.NSContainer); ok && name != "" {
		s.UserNS = spec.UserNS{From: name}
		return nil
	}
	s.UserNS, err = syntax.UserNS(o.userns)
	return err
}

// resolve looks up the containers and the pod that a request names. A pod that is
// made for it is returned.
func (o *createFlags) resolve(f *cmdutil.Factory, r *container.Request) (made *pod.Pod, err error) {
	s, err := f.State()
	if err != nil {
		return nil, err
	}
	if err := resolveJoins(s, &r.Spec); err != nil {
		return nil, err
	}
	p, made, err := o.findPod(f, s, &r.Spec)
	if p == nil || err != nil {
		return nil, err
	}
	changed := o.set.Changed
	err = p.Adopt(&r.Spec, pod.Asked{
		Network: changed("network") && made == nil, IPC: changed("ipc"), PID: changed("pid"), UTS: changed("uts"),
		CgroupNS: changed("cgroupns"), UserNS: changed("userns") || r.Spec.UserNS.Mode == spec.UserNSCustom, Hostname: changed("hostname"),
	})
	if err != nil && made != nil {
		err = errors.Join(err, container.DropEmptyPod(made))
	}
	return made, err
}

// findPod is the pod that flags name, or nil; made is it too where it is new: then it
// has the network that c asks for.
func (o *createFlags) findPod(f *cmdutil.Factory, s state.Store, c *spec.Container) (p, made *pod.Pod, err error) {
	name := o.ns.pod
	if o.ns.podIDFile != "" {
		ids, err := readIDs([]string{o.ns.podIDFile}, false)
		if err != nil {
			return nil, nil, err
		}
		name = ids[0]
	}
	if name == "" {
		return nil, nil, nil
	}
	fresh, isNew := strings.CutPrefix(name, "new:")
	if !isNew {
		p, err = pod.Of(s).Lookup(name)
		if errors.Is(err, pod.ErrNotFound) {
			err = problem.Hint(err, "run: nook pod create %s; or use: --pod new:%s", name, name)
		}
		return p, nil, err
	}
	if fresh == "" {
		return nil, nil, fmt.Errorf("--pod %s: want new:NAME", name)
	}
	if err := syntax.Name(fresh); err != nil {
		return nil, nil, err
	}
	p, err = container.CreatePod(s, spec.Pod{
		Version: spec.Version, Name: fresh, Infra: true, Share: container.DefaultShare(),
		Network: c.Network, NetworkOptions: c.NetworkOptions, Networks: c.Networks, Ports: c.Ports, DNS: c.DNS, HostLoopback: c.HostLoopback,
	}, append([]string{"nook"}, f.Args...))
	c.Network, c.NetworkOptions, c.Networks, c.Ports, c.DNS, c.HostLoopback = "", nil, nil, nil, spec.DNS{}, spec.Loopback{} // they are the pod's
	return p, p, err
}

// resolveJoins puts ids in the place of names, and what those containers have
// themselves from the host or from others in the place of joining them.
func resolveJoins(s state.Store, c *spec.Container) error {
	uts := c.UTS
	for _, ns := range []struct {
		kind string
		mode *string
		of   func(spec.Container) string
	}{
		{"network", &c.Network, func(o spec.Container) string { return o.Network }},
		{"ipc", &c.IPC, func(o spec.Container) string { return o.IPC }},
		{"pid", &c.PID, func(o spec.Container) string { return o.PID }},
		{"uts", &c.UTS, func(o spec.Container) string { return o.UTS }},
		{"cgroupns", &c.CgroupNS, func(o spec.Container) string { return o.CgroupNS }},
	} {
		name, ok := ocispec.Joined(*ns.mode)
		if !ok {
			continue
		}
		other, err := s.Lookup(name)
		if err != nil {
			return problem.Hint(fmt.Errorf("--%s container:%w", ns.kind, err), "run: nook ps -a")
		}
		switch theirs := ns.of(other.Spec); {
		case theirs == spec.IPCPrivate || theirs == spec.IPCNone && ns.kind == "ipc":
			return problem.Hint(fmt.Errorf("--ipc container:%s: its ipc namespace is %s", name, theirs), "make it with: --ipc shareable")
		case strings.HasPrefix(theirs, spec.NSContainer), theirs == spec.NSHost:
			*ns.mode = theirs
		default:
			*ns.mode = spec.NSContainer + other.ID
		}
		if err := checkOwner(s, c, other, ns.kind); err != nil {
			return err
		}
	}
	if uts != "" && (c.Hostname != "" || c.Domainname != "") {
		return errors.New("--uts excludes --hostname and --domainname: the names belong to the namespace")
	}
	if c.Init && !ocispec.OwnPIDs(*c) {
		return errors.New("--init: needs a pid namespace of the container's own")
	}
	return resolveUserNS(s, c, uts)
}

// checkOwner wants both containers in one user namespace: what belongs to another
// one's cannot be mounted.
func checkOwner(s state.Store, c *spec.Container, other *state.Container, kind string) error {
	mine := c.UserNS.From
	if mine != "" {
		from, err := s.Lookup(mine)
		if err != nil {
			return problem.Hint(fmt.Errorf("--userns container:%w", err), "run: nook ps -a")
		}
		mine = owner(from)
	} else if c.UserNS.Mode != spec.UserNSHost {
		mine = cmp.Or(c.UserNS.Path, "new")
	}
	if mine == owner(other) {
		return nil
	}
	return problem.Hint(fmt.Errorf("--%s container:%s: that container has another user namespace", kind, other.Name), "add: --userns container:%s", other.Name)
}

// owner names the user namespace of c: the id of the container that it was made
// for or the path where it is, empty for the one that all share.
func owner(c *state.Container) string {
	switch {
	case c.Spec.UserNS.Mode == spec.UserNSHost:
		return ""
	case c.Spec.UserNS.From != "":
		return c.Spec.UserNS.From
	}
	return cmp.Or(c.Spec.UserNS.Path, c.ID)
}

func resolveUserNS(s state.Store, c *spec.Container, uts string) error {
	if name := c.UserNS.From; name != "" {
		other, err := s.Lookup(name)
		if err != nil {
			return problem.Hint(fmt.Errorf("--userns container:%w", err), "run: nook ps -a")
		}
		c.UserNS = other.Spec.UserNS
		if c.UserNS.Mode != spec.UserNSPath || c.UserNS.From != "" {
			c.UserNS.From = owner(other)
		}
	}
	if id, ok := ocispec.Joined(c.UTS); ok && uts != "" {
		other, err := s.Lookup(id)
		if err != nil {
			return err
		}
		c.Hostname = ocispec.Hostname(ocispec.Input{ID: other.ID, Spec: other.Spec})
	}
	return nil
}

// infra starts the infra container of a pod for the engine.
func infra(f *cmdutil.Factory) container.StartInfra {
	return func(ctx context.Context, p *pod.Pod) error { return StartInfra(ctx, f, p) }
}

// StartInfra starts the infra container of p unless it runs.
func StartInfra(ctx context.Context, f *cmdutil.Factory, p *pod.Pod) error {
	if p.InfraID == "" {
		return nil
	}
	lock, err := p.Starting()
	if err != nil {
		return fmt.Errorf("pod %w", err)
	}
	defer lock.Close()
	c, err := p.Containers().Lookup(p.InfraID)
	if err != nil {
		return err
	}
	if runs, err := settled(ctx, c); err != nil || runs {
		return err
	}
	if err := startAgain(ctx, f, c); err != nil {
		return fmt.Errorf("start pod %s: %w", p.Name, err)
	}
	return nil
}

// settled waits while a container is on its way in or out, and reports whether it
// runs.
func settled(ctx context.Context, c *state.Container) (bool, error) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		st, err := c.Status()
		if err != nil || st.Alive() || st.Monitor == 0 {
			return st.Alive(), err
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-look.C:
		}
	}
}

// withoutInfra leaves out what goes with its pod.
func withoutInfra(list []container.Listed) []container.Listed {
	return slices.DeleteFunc(list, func(l container.Listed) bool { return l.Spec.Infra })
}

// dropUnused removes the pod that was made for a container which could not be
// made.
func dropUnused(made *pod.Pod, err error) error {
	if made == nil || err == nil {
		return err
	}
	if derr := container.DropEmptyPod(made); derr != nil {
		return errors.Join(err, derr)
	}
	return err
}
