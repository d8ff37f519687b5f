package container

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/syntax"
)

// What the pod verbs have in common with those on containers.

// PodFlags are the flags of "pod create": those that a pod's containers have too
// are read as theirs.
type PodFlags struct {
	c    createFlags
	spec spec.Pod
	// Share is --share; the pod's default where it is not given.
	share string
	// limits are those of all containers together.
	limits      resourceFlags
	shareParent bool
}

// Add defines the flags.
func (o *PodFlags) Add(f *pflag.FlagSet) {
	o.c.set, o.c.imageVolume, o.c.readOnlyTmpfs = f, "anonymous", true
	s, c := &o.spec, &o.c
	f.Bool("help", false, "show this help") // without -h, which is the host name's
	f.StringVarP(&s.Name, "name", "n", "", "name of the pod")
	f.BoolVar(&s.Infra, "infra", true, "hold the namespaces of the pod in a process of its own")
	f.StringVar(&s.InfraName, "infra-name", "", "name of the container that holds them (default ID-infra)")
	f.StringVar(&o.share, "share", "ipc,net,uts", "namespaces that the containers share: cgroup, ipc, net, pid and uts; +NAME adds to the default")
	f.StringVar(&s.ExitPolicy, "exit-policy", spec.ExitContinue, "when the last container has ended: continue or stop")
	f.StringVar(&c.restart, "restart", "no", "restart policy of the containers: no, on-failure[:N], always or unless-stopped")
	f.StringVarP(&s.Hostname, "hostname", "h", "", "host name inside (default the pod's name)")
	f.StringArrayVarP(&c.labels, "label", "l", nil, "label of the pod: KEY[=VALUE]")
	f.StringArrayVar(&c.labelFile, "label-file", nil, "file of labels, one a line")
	c.net.addUses(f)
	c.net.addDNS(f)
	f.StringVar(&c.ns.pid, "pid", "", "of the pid namespace that is shared: private (default) or host")
	f.StringVar(&c.ns.uts, "uts", "", "of the uts namespace that is shared: private (default) or host")
	f.StringVar(&c.ns.userns, "userns", "host", "for all containers: host, keep-id[:uid=N,gid=N,size=N], nomap, auto[:size=N,uidmapping=MAP,gidmapping=MAP] or ns:PATH")
	c.ids.add(f)
	f.StringArrayVar(&c.session.addHosts, "add-host", nil, "line of the containers' /etc/hosts: NAME[;NAME...]:ADDRESS")
	f.BoolVar(&c.req.Spec.Hosts.NoHosts, "no-hosts", false, "leave the /etc/hosts of the images alone")
	f.BoolVar(&c.req.Spec.Hosts.NoName, "no-hostname", false, "leave the /etc/hostname of the images alone")
	f.StringVar(&c.session.hostsFile, "hosts-file", "", "`FILE` to begin /etc/hosts with, or image, or none; default: none, or with --network host the host's")
	f.StringArrayVar(&c.sysctls, "sysctl", nil, "kernel parameter of a namespace that is shared: NAME=VALUE")
	f.StringVar(&c.shmSize, "shm-size", "", "size of /dev/shm (default 64m)")
	f.StringArrayVar(&c.securityOpts, "security-opt", nil, "of the containers: no-new-privileges, seccomp=FILE|unconfined, mask=PATH, unmask=PATH|ALL")
	f.StringArrayVar(&c.devices, "device", nil, "show a host device to the containers: HOST[:CONTAINER][:rwm]")
	f.StringArrayVarP(&c.volumes, "volume", "v", nil, "show a volume or a host directory to the containers: [NAME|HOST:]CONTAINER[:OPTIONS]")
	f.StringArrayVar(&c.req.Spec.VolumesFrom, "volumes-from", nil, "to the containers, those of another container: CONTAINER[:ro|z]")
	o.limits.addPod(f)
	f.StringVar(&s.CgroupParent, "cgroup-parent", "", "where the pod's control group is made: NAME.slice where systemd makes it, else a directory below yours")
	f.BoolVar(&o.shareParent, "share-parent", true, "have the containers' control groups in one of the pod's")
	f.SetNormalizeFunc(networkWords)
}

// Read turns the flags into a request.
func (o *PodFlags) Read(f *cmdutil.Factory) (spec.Pod, error) {
	p, r, h := o.spec, o.c.req, hereNow(f)
	p.Version = spec.Version
	for _, step := range []func(*container.Request, host) error{o.c.readName, o.c.readLabels, o.c.readMounts, o.c.readNetwork, o.c.readIsolation, o.c.readHosts} {
		if err := step(&r, h); err != nil {
			return p, err
		}
	}
	s := r.Spec
	p.Restart, p.Labels, p.Mounts, p.VolumesFrom, p.Devices = s.Restart, s.Labels, s.Mounts, s.VolumesFrom, s.Devices
	p.Security, p.Sysctls, p.ShmSize = s.Security, s.Sysctls, s.ShmSize
	p.Hosts = s.Hosts
	p.Network, p.PID, p.UTS, p.UserNS = s.Network, s.PID, s.UTS, s.UserNS
	p.NetworkOptions, p.Networks, p.Ports, p.DNS, p.HostLoopback = s.NetworkOptions, s.Networks, s.Ports, s.DNS, s.HostLoopback
	for name, mode := range map[string]string{"network": p.Network, "pid": p.PID, "uts": p.UTS} {
		if _, joins := ocispec.Joined(mode); joins {
			return p, fmt.Errorf("--%s %s: a pod cannot join a container's namespace; want private or host", name, mode)
		}
	}
	if p.UserNS.From != "" {
		return p, errors.New("--userns: a pod cannot join a container's namespace; want host, keep-id, nomap, auto or ns:PATH")
	}
	if err := o.readGroup(&p); err != nil {
		return p, err
	}
	return p, o.shared(&p)
}

// readGroup is about the pod's control group.
func (o *PodFlags) readGroup(p *spec.Pod) error {
	if err := o.limits.read(&p.Resources); err != nil {
		return err
	}
	p.OwnGroups = !o.shareParent
	return checkGroup(p)
}

func checkGroup(p *spec.Pod) error {
	if p.OwnGroups && (p.CgroupParent != "" || !reflect.DeepEqual(p.Resources, spec.Resources{})) {
		return errors.New("--share-parent=false: limits and --cgroup-parent are those of the control group that the containers share")
	}
	return nil
}

func (o *PodFlags) shared(p *spec.Pod) (err error) {
	for _, name := range []string{p.Name, p.InfraName} {
		if name == "" {
			continue
		}
		if err := syntax.Name(name); err != nil {
			return err
		}
	}
	if p.ExitPolicy != spec.ExitContinue && p.ExitPolicy != spec.ExitStop {
		return fmt.Errorf("--exit-policy %q: want continue or stop", p.ExitPolicy)
	}
	if p.Share, err = syntax.Share(o.share); err != nil {
		return err
	}
	set := o.c.set
	if len(p.Share) == 0 && !set.Changed("infra") {
		p.Infra = false // nothing is to be held
	}
	if err := o.checkNetwork(p); err != nil {
		return err
	}
	if p.Infra {
		return ocispec.CheckSysctls(spec.Container{Network: p.Network, UTS: p.UTS, Sysctls: p.Sysctls})
	}
	if len(p.Share) > 0 && set.Changed("share") {
		return errors.New("--infra=false: nothing can be shared without it; leave --share out")
	}
	p.Share = nil
	for _, name := range []string{"infra-name", "hostname", "network", "publish", "dns", "pid", "uts", "userns", "uidmap", "gidmap", "subuidname", "subgidname", "sysctl"} {
		if set.Changed(name) {
			return fmt.Errorf("--%s: needs --infra", name)
		}
	}
	return nil
}

// checkNetwork is about a pod that does not share its network.
func (o *PodFlags) checkNetwork(p *spec.Pod) error {
	if slices.Contains(p.Share, spec.ShareNet) {
		return nil
	}
	for _, name := range []string{"network", "publish", "dns"} {
		if o.c.set.Changed(name) {
			return fmt.Errorf("--%s: the pod does not share its network", name)
		}
	}
	p.Network, p.Networks = spec.NetworkNone, nil
	return nil
}

// PodCloneFlags are the flags of "pod clone" about what the new pod has of its own.
type PodCloneFlags struct {
	limits resourceFlags
	ids    idFlags
	parent string
	set    *pflag.FlagSet
}

// Add defines the flags.
func (o *PodCloneFlags) Add(f *pflag.FlagSet) {
	o.set = f
	o.limits.addPod(f)
	o.ids.add(f)
	f.StringVar(&o.parent, "cgroup-parent", "", "where the pod's control group is made: NAME.slice where systemd makes it, else a directory below yours")
}

// Change puts what was typed into p, over what the other pod has.
func (o *PodCloneFlags) Change(p *spec.Pod) error {
	p.Resources.Unified = maps.Clone(p.Resources.Unified)
	if err := o.limits.read(&p.Resources); err != nil {
		return err
	}
	if o.set.Changed("cgroup-parent") {
		p.CgroupParent = o.parent
	}
	if err := checkGroup(p); err != nil {
		return err
	}
	before := p.UserNS
	if err := o.ids.read(&p.UserNS, o.set); err != nil {
		return err
	}
	if !reflect.DeepEqual(before, p.UserNS) && !p.Infra {
		return errors.New("--uidmap, --gidmap, --subuidname, --subgidname: the pod has no infra container, which would hold the user namespace")
	}
	return nil
}

// Start starts c in the background unless it runs.
func Start(ctx context.Context, f *cmdutil.Factory, c *state.Container) error {
	if st, err := c.Status(); err != nil || st.Word == state.Running {
		return err
	}
	return startAgain(ctx, f, c)
}

// Ending is the flag that says how long containers may take to end.
type Ending struct{ ending }

// Add defines the flag.
func (e *Ending) Add(fl *pflag.FlagSet) { e.add(fl) }

// Grace is the time that container.Stop takes.
func (e *Ending) Grace() (time.Duration, error) {
	_, grace, err := e.parse()
	return grace, err
}

// Logs is "pod logs": the flags of "logs" for the containers of a pod.
type Logs struct{ logsOptions }

// Add defines the flags.
func (o *Logs) Add(fl *pflag.FlagSet) { o.add(fl) }

// Show shows the logs of all.
func (o *Logs) Show(ctx context.Context, f *cmdutil.Factory, all []*state.Container) error {
	return o.show(ctx, f, all)
}
