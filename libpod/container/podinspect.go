package container

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/cgroups"
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

	// Limits of all containers together; zero values were not asked for.
	CPUPeriod           uint64          `json:"cpu_period,omitempty"`
	CPUQuota            int64           `json:"cpu_quota,omitempty"`
	CPUShares           uint64          `json:"cpu_shares,omitempty"`
	CPUSetCPUs          string          `json:"cpuset_cpus,omitempty"`
	CPUSetMems          string          `json:"cpuset_mems,omitempty"`
	MemoryLimit         int64           `json:"memory_limit,omitempty"`
	MemorySwap          int64           `json:"memory_swap,omitempty"`
	BlkioWeight         uint16          `json:"blkio_weight,omitempty"`
	BlkioWeightDevice   []InspectWeight `json:"blkio_weight_device,omitempty"`
	BlkioDeviceReadBps  []InspectRate   `json:"device_read_bps,omitempty"`
	BlkioDeviceWriteBps []InspectRate   `json:"device_write_bps,omitempty"`
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
	out.describeGroup(s, members)
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

// describeGroup is about the pod's control group.
func (i *PodInspect) describeGroup(s spec.Pod, members []PodMember) {
	i.CreateCgroup, i.CgroupPath = !s.OwnGroups, PodCgroup(members)
	i.CgroupParent = PodCgroupParent(s, members)
	r := s.Resources
	i.CPUPeriod, i.CPUQuota, i.CPUShares, i.CPUSetCPUs, i.CPUSetMems = r.CPUPeriod, r.CPUQuota, r.CPUShares, r.CpusetCpus, r.CpusetMems
	i.MemoryLimit, i.MemorySwap, i.BlkioWeight = r.Memory, r.MemorySwap, r.BlkioWeight
	i.BlkioDeviceReadBps, i.BlkioDeviceWriteBps = rates(r.ReadBps), rates(r.WriteBps)
	for _, d := range r.BlkioWeightDevices {
		i.BlkioWeightDevice = append(i.BlkioWeightDevice, InspectWeight{d.Path, d.Amount})
	}
}

// PodCgroup is the directory of the control group that members have in common;
// empty where none runs in it.
func PodCgroup(members []PodMember) string {
	for _, m := range members {
		if dir := filepath.Dir(m.Run.Cgroup); m.Alive() && strings.HasPrefix(filepath.Base(dir), cgroups.Family) {
			return dir
		}
	}
	return ""
}

// PodCgroupParent is the name of what that group is made in: as asked for, else as
// it is where it runs.
func PodCgroupParent(s spec.Pod, members []PodMember) string {
	dir := PodCgroup(members)
	if s.CgroupParent != "" || dir == "" {
		return s.CgroupParent
	}
	above := filepath.Dir(dir)
	if filepath.Base(above) == filepath.Base(dir)+".scope" {
		return filepath.Base(filepath.Dir(above)) // a slice
	}
	return above
}

// PodState derives a pod's state from its containers.
func PodState(members []PodMember) string {
	words := make([]string, len(members))
	for i, m := range members {
		words[i] = m.Word
	}
	return pod.State(words)
}
