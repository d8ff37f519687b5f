package container

import (
	"maps"
	"slices"
	"testing"

	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/spec"
)

func podOf(infra string, share ...string) *pod.Pod {
	return &pod.Pod{Config: pod.Config{ID: "of-" + infra, Name: "p", InfraID: infra, Spec: spec.Pod{Infra: true, Share: share}}}
}

func TestIntoPod(t *testing.T) {
	c := spec.Container{
		Network: "bridge", Networks: []spec.NetworkUse{{Name: "n"}}, Ports: []spec.Port{{}}, PublishAll: true,
		Hostname: "h", Domainname: "d", Init: true, PID: "host",
		Sysctls: map[string]string{"net.core.somaxconn": "1", "kernel.msgmax": "2"},
	}
	before := maps.Clone(c.Sysctls)
	shared := c.Sysctls
	p := podOf("infra", spec.ShareNet, spec.ShareUTS, spec.SharePID)
	if err := IntoPod(&c, p, nil); err != nil {
		t.Fatal(err)
	}
	if c.Pod != p.ID || c.Network != "container:infra" || c.UTS != c.Network || c.PID != c.Network || c.IPC != "" || c.PodGroup == nil {
		t.Errorf("namespaces: %+v", c)
	}
	if len(c.Networks)+len(c.Ports) > 0 || c.PublishAll || c.Init || c.Domainname != "" || c.Hostname != "p" {
		t.Errorf("what does not go with them: %+v", c)
	}
	if len(c.Sysctls) != 1 || c.Sysctls["kernel.msgmax"] != "2" || !maps.Equal(shared, before) {
		t.Errorf("sysctls %v, the other's %v", c.Sysctls, shared)
	}

	to := podOf("other", spec.ShareIPC)
	if err := IntoPod(&c, to, p); err != nil {
		t.Fatal(err)
	}
	if c.Pod != to.ID || c.Network != spec.NetworkBridge || len(c.Networks) != 1 || c.UTS+c.PID+c.Hostname != "" || c.IPC != "container:other" {
		t.Errorf("what it had of the other pod: %+v", c)
	}
	if err := IntoPod(&c, podOf(""), to); err != nil || c.IPC != "" || c.Network != spec.NetworkBridge {
		t.Errorf("a pod without infra: %v, %+v", err, c)
	}

	ids := spec.Container{UserNS: spec.UserNS{Mode: spec.UserNSAuto, First: 7, From: "infra"}}
	if err := IntoPod(&ids, podOf(""), p); err != nil || ids.UserNS.Mode != spec.UserNSAuto || ids.UserNS.First != 0 || ids.UserNS.From != "" {
		t.Errorf("ids: %v, %+v", err, ids.UserNS)
	}
	kept := spec.Container{Network: "bridge", Egress: []string{"none"}}
	if err := IntoPod(&kept, podOf("infra", spec.ShareNet), nil); err == nil || !slices.Equal(kept.Egress, []string{"none"}) {
		t.Error("rules about where it may go were dropped")
	}
}
