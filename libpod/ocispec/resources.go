package ocispec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/spec"
)

// DeviceNumber is the major and minor number of a device node.
type DeviceNumber struct{ Major, Minor int64 }

// Resources are r in the runtime spec's terms, with the defaults of what was not
// asked for. devices has every path in r.
func Resources(r spec.Resources, devices map[string]DeviceNumber) *specs.LinuxResources {
	pids := r.Pids
	if pids == 0 {
		pids = spec.DefaultPids
	}
	out := &specs.LinuxResources{
		Memory: memoryOf(r),
		CPU:    cpuOf(r),
		Pids:   &specs.LinuxPids{Limit: &pids},
		BlockIO: &specs.LinuxBlockIO{
			ThrottleReadBpsDevice:   throttle(r.ReadBps, devices),
			ThrottleWriteBpsDevice:  throttle(r.WriteBps, devices),
			ThrottleReadIOPSDevice:  throttle(r.ReadIOps, devices),
			ThrottleWriteIOPSDevice: throttle(r.WriteIOps, devices),
		},
		Unified: r.Unified,
	}
	if r.BlkioWeight != 0 {
		out.BlockIO.Weight = &r.BlkioWeight
	}
	for _, d := range r.BlkioWeightDevices {
		weight := uint16(d.Amount) //nolint:gosec // checked by the front end
		w := specs.LinuxWeightDevice{Weight: &weight}
		w.Major, w.Minor = devices[d.Path].Major, devices[d.Path].Minor
		out.BlockIO.WeightDevice = append(out.BlockIO.WeightDevice, w)
	}
	return out
}

// memoryOf lets as much be swapped as memory is allowed, unless told otherwise: as
// Docker and podman.
func memoryOf(r spec.Resources) *specs.LinuxMemory {
	m := &specs.LinuxMemory{}
	if r.Memory != 0 {
		m.Limit = &r.Memory
	}
	swap := r.MemorySwap
	if swap == 0 && r.Memory > 0 {
		swap = 2 * r.Memory
	}
	if swap == 0 && r.Memory < 0 {
		swap = -1
	}
	if swap != 0 {
		m.Swap = &swap
	}
	if r.MemoryReservation != 0 {
		m.Reservation = &r.MemoryReservation
	}
	return m
}

func cpuOf(r spec.Resources) *specs.LinuxCPU {
	c := &specs.LinuxCPU{Cpus: r.CpusetCpus, Mems: r.CpusetMems}
	if r.CPUShares != 0 {
		c.Shares = &r.CPUShares
	}
	if r.CPUQuota != 0 {
		c.Quota = &r.CPUQuota
	}
	if r.CPUPeriod != 0 {
		c.Period = &r.CPUPeriod
	}
	return c
}

func throttle(list []spec.DeviceAmount, devices map[string]DeviceNumber) []specs.LinuxThrottleDevice {
	var out []specs.LinuxThrottleDevice
	for _, d := range list {
		t := specs.LinuxThrottleDevice{Rate: d.Amount}
		t.Major, t.Minor = devices[d.Path].Major, devices[d.Path].Minor
		out = append(out, t)
	}
	return out
}
