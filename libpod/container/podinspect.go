package container

import (
	"slices"
	"time"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/volume"
)

// PodInspect is a pod as "pod inspect" shows it, in podman's field names.
type PodInspect struct {
	ID               string `json:"Id"`
	Name             string
	Created          time.Time
	CreateCommand    []string `json:",omitempty"`
	ExitPolicy       string
	State            string
	Hostname         string
	Labels           map[string]string `json:",omitempty"`
	CreateCgroup     bool
	CgroupParent     string `json:",omitempty"`
	CgroupPath       string `json:",omitempty"`
	CreateInfra      bool
	InfraContainerID string    `json:",omitempty"`
	InfraConfig      *PodInfra `json:",omitempty"`
	SharedNamespaces []string  `json:",omitempty"`
	NumContainers    int
	Containers       []PodContainer  `json:",omitempty"`
	Mounts           []InspectMount  `json:"mounts,omitempty"`
	Devices          []InspectDevice `json:"devices,omitempty"`
	VolumesFrom      []string        `json:"volumes_from,omitempty"`
	SecurityOpts     []string        `json:"security_opt,omitempty"`
	RestartPolicy    string
}

// PodInfra is what a pod's namespaces are.
type PodInfra struct {
	PortBindings       map[string][]string
	HostNetwork        bool
	StaticIP           string
	StaticMAC          string
	NoManageResolvConf bool
	NoManageHosts      bool
	HostAdd            []string
	HostsFile          string
	Networks           []string
	PidNS              string `json:"pid_ns"`
	UserNS             string `json:"userns"`
	UtsNS              string `json:"uts_ns"`
}

// PodContainer is one container of a pod.
type PodContainer struct {
	ID    string `json:"Id"`
	Name  string
	State string
}

// Id is ID, as templates written for podman name it.
//
//nolint:staticcheck // the field's name elsewhere
func (i *PodInspect) Id() string { return i.ID }

// DescribePod shows p. It needs no layers and takes no lock.
func DescribePod(p *pod.Pod) (*PodInspect, error) {
	members, err := PodMembers(p)
	if err != nil {
		return nil, err
	}
	s := p.Spec
	out := &PodInspect{
		ID: p.ID, Name: p.Name, Created: p.Created, CreateCommand: p.Command, ExitPolicy: first(s.ExitPolicy, spec.ExitContinue),
		State: PodState(members), Hostname: s.Hostname, Labels: s.Labels, CreateInfra: s.Infra, InfraContainerID: p.InfraID,
		SharedNamespaces: slices.Clone(s.Share), NumContainers: len(members), VolumesFrom: s.VolumesFrom,
		SecurityOpts: securityOpts(s.Security), RestartPolicy: first(s.Restart.Policy, "no"),
	}
	for _, m := range members {
		out.Containers = append(out.Containers, PodContainer{m.ID, m.Name, m.Word})
	}
	for _, m := range s.Mounts {
		out.Mounts = append(out.Mounts, describeMount(m, volume.Of(p.Containers())))
	}
	for _, d := range s.Devices {
		out.Devices = append(out.Devices, InspectDevice{d.Source, first(d.Target, d.Source), first(d.Permissions, "rwm")})
	}
	if s.Infra {
		out.InfraConfig = &PodInfra{
			PortBindings: map[string][]string{}, HostNetwork: s.Network == ocispec.NetworkHost, Networks: []string{},
			NoManageHosts: s.Hosts.NoHosts, HostAdd: s.Hosts.Add, HostsFile: s.Hosts.HostsFile,
			PidNS: first(s.PID, "private"), UserNS: first(usernsMode(s.UserNS), "host"), UtsNS: first(s.UTS, "private"),
		}
		if s.UserNS.Mode != spec.UserNSHost {
			out.SharedNamespaces = append(out.SharedNamespaces, "user")
		}
	}
	return out, nil
}

// PodState derives a pod's state from its containers.
func PodState(members []PodMember) string {
	words := make([]string, len(members))
	for i, m := range members {
		words[i] = m.Word
	}
	return pod.State(words)
}
