package container

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/syntax"
)

// resourceFlags are the limits of run, create and update, as typed.
type resourceFlags struct {
	memory, swap, reservation string
	cpus                      string
	shares, period            uint64
	quota, pids               int64
	cpusetCpus, cpusetMems    string
	weight                    uint16
	weightDevices             []string
	readBps, writeBps         []string
	readIOps, writeIOps       []string
	set                       *pflag.FlagSet
}

func (r *resourceFlags) add(f *pflag.FlagSet) {
	r.addPod(f)
	f.StringVar(&r.reservation, "memory-reservation", "", "memory that is taken away last: `SIZE`")
	f.Uint64Var(&r.period, "cpu-period", 0, "microseconds that --cpu-quota is for (default 100000)")
	f.Int64Var(&r.quota, "cpu-quota", 0, "microseconds of CPU time in each period; -1 for no limit")
	f.Int64Var(&r.pids, "pids-limit", spec.DefaultPids, "number of threads; -1 for no limit")
	f.StringArrayVar(&r.readIOps, "device-read-iops", nil, "read at most so often a second: `DEVICE:NUMBER`")
	f.StringArrayVar(&r.writeIOps, "device-write-iops", nil, "write at most so often a second: `DEVICE:NUMBER`")
}

// addPod defines those that pods have, too.
func (r *resourceFlags) addPod(f *pflag.FlagSet) {
	r.set = f
	f.StringVarP(&r.memory, "memory", "m", "", "memory limit: `SIZE`, as 512m; -1 for none")
	f.StringVar(&r.swap, "memory-swap", "", "limit of memory and swap together: `SIZE`; -1 for none (default: twice --memory)")
	f.StringVar(&r.cpus, "cpus", "", "number of CPUs' time, as 1.5")
	f.Uint64VarP(&r.shares, "cpu-shares", "c", 0, "part of the CPU time when it is short: 2 to 262144, others have 1024")
	f.StringVar(&r.cpusetCpus, "cpuset-cpus", "", "CPUs to run on: `LIST`, as 0-2,4")
	f.StringVar(&r.cpusetMems, "cpuset-mems", "", "memory nodes to use: `LIST`")
	f.Uint16Var(&r.weight, "blkio-weight", 0, "part of the block IO when it is short: 10 to 1000")
	f.StringArrayVar(&r.weightDevices, "blkio-weight-device", nil, "the same for one device: `DEVICE:WEIGHT`")
	f.StringArrayVar(&r.readBps, "device-read-bps", nil, "read at most so much a second: `DEVICE:SIZE`")
	f.StringArrayVar(&r.writeBps, "device-write-bps", nil, "write at most so much a second: `DEVICE:SIZE`")
}

// read puts what was typed into s, over what is there.
func (r *resourceFlags) read(s *spec.Resources) error {
	for _, step := range []func(*spec.Resources) error{r.readMemory, r.readCPU, r.readRest} {
		if err := step(s); err != nil {
			return err
		}
	}
	return syntax.Resources(*s)
}

func (r *resourceFlags) readMemory(s *spec.Resources) error {
	for _, f := range []struct {
		name, text string
		to         *int64
	}{
		{"memory", r.memory, &s.Memory},
		{"memory-swap", r.swap, &s.MemorySwap},
		{"memory-reservation", r.reservation, &s.MemoryReservation},
	} {
		if !r.set.Changed(f.name) {
			continue
		}
		n, err := syntax.Limit(f.text)
		if err != nil {
			return fmt.Errorf("--%s: %w", f.name, err)
		}
		*f.to = n
	}
	return nil
}

func (r *resourceFlags) readCPU(s *spec.Resources) (err error) {
	changed := r.set.Changed
	if changed("cpus") {
		if changed("cpu-quota") || changed("cpu-period") {
			return errors.New("--cpus is a --cpu-quota for a --cpu-period: they exclude each other")
		}
		if s.CPUQuota, s.CPUPeriod, err = syntax.CPUs(r.cpus); err != nil {
			return err
		}
	}
	if changed("cpu-shares") {
		s.CPUShares = r.shares
	}
	if changed("cpu-period") {
		s.CPUPeriod = r.period
	}
	if changed("cpu-quota") {
		s.CPUQuota = max(r.quota, -1)
	}
	for _, f := range []struct {
		name, text string
		to         *string
	}{{"cpuset-cpus", r.cpusetCpus, &s.CpusetCpus}, {"cpuset-mems", r.cpusetMems, &s.CpusetMems}} {
		if !changed(f.name) {
			continue
		}
		if f.text != "" {
			if err := syntax.CPUSet(f.text); err != nil {
				return fmt.Errorf("--%s: %w", f.name, err)
			}
		}
		*f.to = f.text
	}
	return nil
}

func (r *resourceFlags) readRest(s *spec.Resources) (err error) {
	if r.set.Changed("pids-limit") {
		if s.Pids, err = syntax.PidsLimit(r.pids); err != nil {
			return err
		}
	}
	if r.set.Changed("blkio-weight") {
		s.BlkioWeight = r.weight
	}
	for _, f := range []struct {
		name   string
		texts  []string
		number func(string) (uint64, error)
		to     *[]spec.DeviceAmount
	}{
		{"blkio-weight-device", r.weightDevices, syntax.IOWeight, &s.BlkioWeightDevices},
		{"device-read-bps", r.readBps, syntax.Rate, &s.ReadBps},
		{"device-write-bps", r.writeBps, syntax.Rate, &s.WriteBps},
		{"device-read-iops", r.readIOps, syntax.Count, &s.ReadIOps},
		{"device-write-iops", r.writeIOps, syntax.Count, &s.WriteIOps},
	} {
		if !r.set.Changed(f.name) {
			continue
		}
		*f.to = nil
		for _, text := range f.texts {
			d, err := syntax.DeviceAmount(text, f.number)
			if err != nil {
				return fmt.Errorf("--%s: %w", f.name, err)
			}
			*f.to = append(*f.to, d)
		}
	}
	return nil
}

// cgroupFlags are those of run and create about the control group itself.
type cgroupFlags struct {
	resourceFlags
	cgroups, parent string
	conf            []string
}

func (c *cgroupFlags) add(f *pflag.FlagSet) {
	c.resourceFlags.add(f)
	f.StringVar(&c.cgroups, "cgroups", spec.CgroupsEnabled, "control group: enabled, disabled, no-conmon (the monitor stays out of it), or split (below the one that nook is in)")
	f.StringVar(&c.parent, "cgroup-parent", "", "where the control group is made: NAME.slice where systemd makes it, else a directory below yours")
	f.StringArrayVar(&c.conf, "cgroup-conf", nil, "file of the control group, and what to write to it: `NAME=VALUE`")
}

func (c *cgroupFlags) readInto(s *spec.Container) error {
	if err := c.resourceFlags.read(&s.Resources); err != nil {
		return err
	}
	switch c.cgroups {
	case spec.CgroupsEnabled:
		if c.set.Changed("cgroups") {
			s.Cgroups = spec.CgroupsEnabled
		}
	case spec.CgroupsDisabled, spec.CgroupsNoConmon, spec.CgroupsSplit:
		s.Cgroups = c.cgroups
	default:
		return fmt.Errorf("--cgroups %q: want enabled, disabled, no-conmon or split", c.cgroups)
	}
	if s.CgroupParent = c.parent; c.parent != "" && s.Cgroups == spec.CgroupsSplit {
		return errors.New("--cgroups=split and --cgroup-parent exclude each other")
	}
	return c.readConf(&s.Resources)
}

func (c *cgroupFlags) readConf(r *spec.Resources) error {
	conf := map[string]string{}
	for _, text := range c.conf {
		key, value, err := syntax.KeyValue("cgroup setting", text)
		if err != nil {
			return err
		}
		conf[key] = value
	}
	if len(conf) > 0 {
		r.Unified = conf
	}
	return nil
}
