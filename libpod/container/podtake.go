package container

import (
	"maps"
	"slices"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/spec"
)

// IntoPod makes c, the settings of a container that is in no pod or in the pod from
// (else nil), those of one in p. It loses what it had of from's namespaces, and what
// does not go with those that p shares (podman-container-clone(1), --pod), but no rule
// that keeps it from anything.
func IntoPod(c *spec.Container, p, from *pod.Pod) error {
	c.Pod, c.PodGroup = "", nil
	if from != nil && from.InfraID != "" {
		leavePod(c, from)
	}
	if p.InfraID != "" {
		makeWay(c, p.Spec.Share)
	}
	if err := p.Adopt(c, pod.Asked{}); err != nil {
		return err
	}
	c.Sysctls = maps.Clone(c.Sysctls)
	maps.DeleteFunc(c.Sysctls, func(key, value string) bool {
		only := *c
		only.Sysctls = map[string]string{key: value}
		return ocispec.CheckSysctls(only) != nil
	})
	return nil
}

// leavePod gives c defaults in the place of what p shares.
func leavePod(c *spec.Container, p *pod.Pod) {
	if c.UserNS.From == p.InfraID {
		c.UserNS.From, c.UserNS.First = "", 0
	}
	for _, share := range p.Spec.Share {
		switch share {
		case spec.ShareNet:
			c.Network, c.Networks, c.DNS = spec.NetworkBridge, []spec.NetworkUse{{Name: spec.DefaultNetwork}}, spec.DNS{}
		case spec.ShareIPC:
			c.IPC = ""
		case spec.SharePID:
			c.PID = ""
		case spec.ShareUTS:
			c.UTS, c.Hostname = "", ""
		case spec.ShareCgroup:
			c.CgroupNS = ""
		}
	}
}

// makeWay takes from c what it can't have with namespaces that a pod shares.
func makeWay(c *spec.Container, share []string) {
	if slices.Contains(share, spec.ShareNet) {
		c.Ports, c.PublishAll, c.HostLoopback = nil, false, spec.Loopback{}
	}
	if slices.Contains(share, spec.ShareUTS) {
		c.Hostname, c.Domainname = "", ""
	}
	if slices.Contains(share, spec.SharePID) {
		c.Init = false
	}
}
