package pod

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/problem"
)

// Asked says which namespaces of a container its user chose.
type Asked struct{ Network, IPC, PID, UTS, CgroupNS, UserNS, Hostname bool }

// Adopt completes the request for a container in the pod: it joins what the pod
// shares, and gets what the pod has for containers that ask for nothing else.
func (p *Pod) Adopt(c *spec.Container, asked Asked) error {
	c.Pod = p.ID
	p.adoptGroup(c)
	inherit(c, p.Spec)
	if p.InfraID == "" {
		return nil
	}
	if asked.UserNS {
		return fmt.Errorf("--userns and --pod exclude each other: containers of a pod have its user namespace")
	}
	c.UserNS = p.Spec.UserNS
	if c.UserNS.Mode != spec.UserNSHost {
		c.UserNS.From = p.InfraID
	}
	for _, ns := range []struct {
		share string
		mode  *string
		from  string // the infra container's own mode
		asked bool
	}{
		{spec.ShareNet, &c.Network, p.Spec.Network, asked.Network},
		{spec.ShareIPC, &c.IPC, "", asked.IPC},
		{spec.SharePID, &c.PID, p.Spec.PID, asked.PID},
		{spec.ShareUTS, &c.UTS, p.Spec.UTS, asked.UTS},
		{spec.ShareCgroup, &c.CgroupNS, "", asked.CgroupNS},
	} {
		if !slices.Contains(p.Spec.Share, ns.share) {
			continue
		}
		if ns.asked {
			return problem.Hint(fmt.Errorf("pod %s shares its %s namespace with all its containers", p.Name, ns.share),
				"leave the container's own choice out, or make a pod with another --share")
		}
		*ns.mode = spec.NSContainer + p.InfraID
		if ns.share == spec.ShareNet {
			if len(c.Ports) > 0 || c.PublishAll {
				return problem.Hint(fmt.Errorf("--publish: pod %s shares its network with all its containers", p.Name),
					"publish the ports of the pod: nook pod create --publish ...")
			}
			if !c.HostLoopback.IsZero() {
				return problem.Hint(fmt.Errorf("--host-loopback: pod %s shares its network with all its containers", p.Name),
					"say it for the pod: nook pod create --host-loopback ...")
			}
			if len(c.Egress) > 0 {
				return problem.Hint(fmt.Errorf("--egress: pod %s shares its network with all its containers", p.Name),
					"say it for the network: nook network create --egress ... NAME; nook pod create --network NAME")
			}
			c.Networks, c.NetworkOptions = nil, nil
			if c.DNS.IsZero() {
				c.DNS = p.Spec.DNS
			}
		}
		if ns.from == spec.NSHost {
			*ns.mode = spec.NSHost
		}
	}
	return p.adoptNames(c, asked)
}

// adoptGroup puts c's control group into the pod's, unless c has a choice of its own.
func (p *Pod) adoptGroup(c *spec.Container) {
	if c.Cgroups != spec.CgroupsDisabled && c.Cgroups != spec.CgroupsSplit && c.CgroupParent == "" {
		c.PodGroup = p.Group()
	}
}

// Group is the control group that those of the pod's containers are in; nil: none.
func (p *Pod) Group() *spec.PodGroup {
	if p.Spec.OwnGroups {
		return nil
	}
	return &spec.PodGroup{Parent: p.Spec.CgroupParent, Resources: p.Spec.Resources}
}

// adoptNames is about what goes with shared namespaces.
func (p *Pod) adoptNames(c *spec.Container, asked Asked) error {
	if slices.Contains(p.Spec.Share, spec.ShareUTS) {
		if asked.Hostname || c.Domainname != "" {
			return errors.New("--hostname, --domainname: the pod's names are those of all its containers")
		}
		c.Hostname = ""
		if p.Spec.UTS != spec.NSHost {
			c.Hostname = p.Hostname()
		}
	}
	if c.Init && slices.Contains(p.Spec.Share, spec.SharePID) {
		return errors.New("--init: the pod shares its pid namespace, in which it has a reaper already")
	}
	return nil
}

// Hostname is the name that the pod's containers see.
func (p *Pod) Hostname() string {
	if p.Spec.Hostname != "" {
		return p.Spec.Hostname
	}
	return p.Name[:min(len(p.Name), maxHostname)]
}

// maxHostname is what the kernel takes (sethostname(2)).
const maxHostname = 64

// inherit gives c what the pod has, where it has nothing itself.
func inherit(c *spec.Container, p spec.Pod) {
	if c.Restart.Policy == "" && !c.Remove {
		c.Restart = p.Restart
	}
	if c.ShmSize == 0 {
		c.ShmSize = p.ShmSize
	}
	for _, m := range p.Mounts {
		if !slices.ContainsFunc(c.Mounts, func(x spec.Mount) bool { return path.Clean(x.Target) == path.Clean(m.Target) }) {
			c.Mounts = append(c.Mounts, m)
		}
	}
	c.VolumesFrom = append(c.VolumesFrom, p.VolumesFrom...)
	for _, d := range p.Devices {
		if !slices.Contains(c.Devices, d) {
			c.Devices = append(c.Devices, d)
		}
	}
	inheritHosts(&c.Hosts, p.Hosts)
	s := &c.Security
	s.NoNewPrivileges = s.NoNewPrivileges || p.Security.NoNewPrivileges
	if s.Seccomp == "" {
		s.Seccomp = p.Security.Seccomp
	}
	s.Mask = append(s.Mask, p.Security.Mask...)
	s.Unmask = append(s.Unmask, p.Security.Unmask...)
}

func inheritHosts(h *spec.Hosts, p spec.Hosts) {
	h.Add = append(slices.Clone(p.Add), h.Add...)
	h.NoHosts = h.NoHosts || p.NoHosts
	h.NoName = h.NoName || p.NoName
	if h.HostsFile == "" {
		h.HostsFile = p.HostsFile
	}
}
