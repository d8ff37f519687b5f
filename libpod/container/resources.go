package container

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/cgroups"
)

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

// describeResources adds what c is allowed; zero values were not asked for.
func describeResources(c spec.Container, out *InspectLimits) {
	r := c.Resources
	out.Memory, out.MemorySwap, out.MemoryReservation = r.Memory, r.MemorySwap, r.MemoryReservation
	out.CpuShares, out.CpuPeriod, out.CpuQuota = r.CPUShares, r.CPUPeriod, r.CPUQuota
	out.CpusetCpus, out.CpusetMems = r.CpusetCpus, r.CpusetMems
	out.BlkioWeight = r.BlkioWeight
	out.BlkioDeviceReadBps, out.BlkioDeviceWriteBps = rates(r.ReadBps), rates(r.WriteBps)
	out.BlkioDeviceReadIOps, out.BlkioDeviceWriteIOps = rates(r.ReadIOps), rates(r.WriteIOps)
	out.Cgroups, out.CgroupParent, out.CgroupConf = first(c.Cgroups, "default"), c.CgroupParent, r.Unified
	if out.PidsLimit = r.Pids; r.Pids == 0 {
		out.PidsLimit = spec.DefaultPids
	}
	if r.CPUQuota > 0 && r.CPUPeriod > 0 {
		out.NanoCpus = r.CPUQuota * 1e9 / int64(r.CPUPeriod) //nolint:gosec // at most a million
	}
	for _, d := range r.BlkioWeightDevices {
		out.BlkioWeightDevice = append(out.BlkioWeightDevice, InspectWeight{d.Path, d.Amount})
	}
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
	sameHealth := true
	err := c.Change(func(cfg *state.Config) error {
		now := cfg.Spec
		now.Resources.Unified = maps.Clone(now.Resources.Unified)
		if err := change(&now); err != nil {
			return err
		}
		if sameHealth = reflect.DeepEqual(now.Health, cfg.Spec.Health); !sameHealth {
			if err := checkHealth(now.Health, cfg.Image.Health); err != nil {
				return err
			}
		}
		if err := updateLive(c, cfg.Spec, now, o); err != nil {
			return err
		}
		cfg.Spec = now
		return nil
	})
	if err == nil && !sameHealth {
		err = tellHealth(c)
	}
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
	base := parent
	if strings.HasPrefix(filepath.Base(parent), cgroups.Family) {
		base = filepath.Dir(parent)
	}
	if err := cgroups.Check(base, writes); err != nil {
		return err
	}
	if err := cgroups.Enable(base, parent, cgroups.Needed(writes)); err != nil {
		return err
	}
	writes = restored(writes, old.Resources, now.Resources)
	if before, err := limitsOf(old.Resources); err == nil { // else a device is gone, and its limit with it
		writes = append(lifted(before, writes), writes...)
	}
	return cgroups.Set(st.Run.Cgroup, writes)
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
	if old.BlkioWeight != 0 && now.BlkioWeight == 0 {
		undo = append(undo, cgroups.Write{
			Controller: "io", File: "io.bfq.weight", Value: "100", Optional: true,
			Or: &cgroups.Write{Controller: "io", File: "io.weight", Value: "100", Optional: true},
		})
	}
	return append(undo, writes...)
}
