package container

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/cgroups"
)

// InspectResources are the limits of a container, in Docker's field names with
// podman's additions. Zero values were not asked for.
type InspectResources struct {
	Memory               int64
	MemorySwap           int64
	MemoryReservation    int64
	NanoCpus             int64
	CpuShares            uint64 //nolint:staticcheck // its name elsewhere
	CpuPeriod            uint64 //nolint:staticcheck // its name elsewhere
	CpuQuota             int64  //nolint:staticcheck // its name elsewhere
	CpusetCpus           string
	CpusetMems           string
	PidsLimit            int64
	BlkioWeight          uint16
	BlkioWeightDevice    []InspectWeight
	BlkioDeviceReadBps   []InspectRate
	BlkioDeviceWriteBps  []InspectRate
	BlkioDeviceReadIOps  []InspectRate
	BlkioDeviceWriteIOps []InspectRate
	OomScoreAdj          int
	Cgroups              string
	CgroupMode           string // private or host
	CgroupParent         string
	CgroupConf           map[string]string
}

// InspectRate is a limit for one device.
type InspectRate struct {
	Path string
	Rate uint64
}

// InspectWeight is a weight for one device.
type InspectWeight struct {
	Path   string
	Weight uint64
}

func describeResources(c spec.Container) InspectResources {
	r := c.Resources
	out := InspectResources{
		Memory: r.Memory, MemorySwap: r.MemorySwap, MemoryReservation: r.MemoryReservation,
		CpuShares: r.CPUShares, CpuPeriod: r.CPUPeriod, CpuQuota: r.CPUQuota, CpusetCpus: r.CpusetCpus, CpusetMems: r.CpusetMems,
		PidsLimit: r.Pids, BlkioWeight: r.BlkioWeight,
		BlkioDeviceReadBps: rates(r.ReadBps), BlkioDeviceWriteBps: rates(r.WriteBps),
		BlkioDeviceReadIOps: rates(r.ReadIOps), BlkioDeviceWriteIOps: rates(r.WriteIOps),
		Cgroups: first(c.Cgroups, "default"), CgroupMode: first(c.CgroupNS, "private"), CgroupParent: c.CgroupParent, CgroupConf: r.Unified,
	}
	if r.Pids == 0 {
		out.PidsLimit = spec.DefaultPids
	}
	if r.CPUQuota > 0 && r.CPUPeriod > 0 {
		out.NanoCpus = r.CPUQuota * 1e9 / int64(r.CPUPeriod) //nolint:gosec // at most a million
	}
	if c.OOMScoreAdj != nil {
		out.OomScoreAdj = *c.OOMScoreAdj
	}
	for _, d := range r.BlkioWeightDevices {
		out.BlkioWeightDevice = append(out.BlkioWeightDevice, InspectWeight{d.Path, d.Amount})
	}
	return out
}

func rates(list []spec.DeviceAmount) []InspectRate {
	var out []InspectRate
	for _, d := range list {
		out = append(out, InspectRate{d.Path, d.Amount})
	}
	return out
}

// Update changes what c is allowed, at once where it runs, and for its next start.
// change is called on the record; what the kernel refuses is not recorded.
func Update(c *state.Container, o Cgroups, change func(*spec.Container) error) error {
	err := c.Change(func(cfg *state.Config) error {
		now := cfg.Spec
		now.Resources.Unified = maps.Clone(now.Resources.Unified)
		if err := change(&now); err != nil {
			return err
		}
		if err := updateLive(c, cfg.Spec, now, o); err != nil {
			return err
		}
		cfg.Spec = now
		return nil
	})
	if err != nil {
		return fmt.Errorf("update %s: %w", c.Name, err)
	}
	events.Tell(c, events.Update)
	return nil
}

// updateLive gives the limits to the kernel, or makes sure that the next start can.
func updateLive(c *state.Container, old, now spec.Container, o Cgroups) error {
	if reflect.DeepEqual(old.Resources, now.Resources) {
		return nil
	}
	st, err := c.Status()
	if err != nil {
		return err
	}
	host, err := cgroups.Find()
	if err != nil {
		return err
	}
	if !st.Alive() {
		_, err := newPlacement(host, now, c.ID, o)
		return err
	}
	if st.Run.Cgroup == "" {
		if now.Cgroups == spec.CgroupsDisabled {
			return fmt.Errorf("%w: it was made with --cgroups=disabled", ErrNoCgroup)
		}
		return explainNoGroup("set limits", host)
	}
	writes, err := limitsOf(now.Resources)
	if err != nil {
		return err
	}
	parent := filepath.Dir(st.Run.Cgroup)
	if err := cgroups.Check(parent, writes); err != nil {
		return err
	}
	if err := cgroups.Enable(parent, parent, cgroups.Needed(writes)); err != nil {
		return err
	}
	return cgroups.Set(st.Run.Cgroup, restored(writes, old.Resources, now.Resources))
}

// restored adds what undoes a limit that is not asked for any more.
func restored(writes []cgroups.Write, old, now spec.Resources) []cgroups.Write {
	var undo []cgroups.Write
	gone := func(was, is bool, controller, file, value string) {
		if was && !is {
			undo = append(undo, cgroups.Write{Controller: controller, File: file, Value: value, Optional: true})
		}
	}
	gone(old.CpusetCpus != "", now.CpusetCpus != "", "cpuset", "cpuset.cpus", "\n")
	gone(old.CpusetMems != "", now.CpusetMems != "", "cpuset", "cpuset.mems", "\n")
	gone(old.CPUShares != 0, now.CPUShares != 0, "cpu", "cpu.weight", "100")
	gone(old.CPUQuota > 0, now.CPUQuota > 0, "cpu", "cpu.max", "max")
	gone(old.Memory > 0, now.Memory != 0, "memory", "memory.max", "max")
	gone(old.MemoryReservation > 0, now.MemoryReservation != 0, "memory", "memory.low", "0")
	return append(undo, writes...)
}
