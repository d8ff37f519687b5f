// Package limits turns the resources of an OCI runtime spec (config-linux.md,
// "Control groups") into files of cgroup v2 and their values. It is pure.
//
// Settings that only version 1 has are errors: nothing would enforce them.
package limits

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/cgroups"
)

// Controllers.
const (
	memory  = "memory"
	cpu     = "cpu"
	cpuset  = "cpuset"
	pids    = "pids"
	io      = "io"
	hugetlb = "hugetlb"
	rdma    = "rdma"
)

const unlimited = "max"

// Plan is what to write, in this order. Rules on devices are left out: the nodes
// that a container has are the ones of its spec.
func Plan(r *specs.LinuxResources) ([]cgroups.Write, error) {
	if r == nil {
		return nil, nil
	}
	var p plan
	for _, step := range []func(*specs.LinuxResources) error{p.memory, p.cpu, p.pids, p.io, p.others, p.unified} {
		if err := step(r); err != nil {
			return nil, fmt.Errorf("linux.resources: %w", err)
		}
	}
	return p.writes, nil
}

type plan struct{ writes []cgroups.Write }

func (p *plan) add(controller, file, value string) {
	p.writes = append(p.writes, cgroups.Write{Controller: controller, File: file, Value: value})
}

// bytes writes a size: negative is unlimited.
func bytes(n int64) string {
	if n < 0 {
		return unlimited
	}
	return strconv.FormatInt(n, 10)
}

func (p *plan) memory(r *specs.LinuxResources) error {
	m := r.Memory
	if m == nil {
		return nil
	}
	switch {
	case m.Swappiness != nil:
		return errors.New("memory.swappiness: only cgroup v1 has it")
	case m.Kernel != nil, m.KernelTCP != nil: //nolint:staticcheck // refused because it is deprecated
		return errors.New("memory.kernel: only cgroup v1 has it")
	case m.DisableOOMKiller != nil && *m.DisableOOMKiller:
		return errors.New("memory.disableOOMKiller: only cgroup v1 has it")
	}
	swap, err := swapOnly(m)
	if err != nil {
		return err
	}
	// A swap limit that is lowered first, or raised, never leaves more in between
	// than either of the two states allows.
	if swap != "" {
		p.add(memory, "memory.swap.max", swap)
	}
	if m.Limit != nil && *m.Limit != 0 {
		p.add(memory, "memory.max", bytes(*m.Limit))
	}
	if m.Reservation != nil && *m.Reservation != 0 {
		p.add(memory, "memory.low", bytes(*m.Reservation))
	}
	return nil
}

// swapOnly is the swap limit of version 2, which does not count memory in, as that
// of the spec does.
func swapOnly(m *specs.LinuxMemory) (string, error) {
	switch {
	case m.Swap == nil || *m.Swap == 0:
		return "", nil
	case *m.Swap < 0:
		return unlimited, nil
	case m.Limit == nil || *m.Limit <= 0:
		return "", errors.New("memory.swap: needs memory.limit, which it includes")
	case *m.Swap < *m.Limit:
		return "", fmt.Errorf("memory.swap %d: less than memory.limit %d, which it includes", *m.Swap, *m.Limit)
	}
	return strconv.FormatInt(*m.Swap-*m.Limit, 10), nil
}

func (p *plan) cpu(r *specs.LinuxResources) error {
	c := r.CPU
	if c == nil {
		return nil
	}
	if c.RealtimePeriod != nil && *c.RealtimePeriod != 0 || c.RealtimeRuntime != nil && *c.RealtimeRuntime != 0 {
		return errors.New("cpu.realtimeRuntime: only cgroup v1 has it")
	}
	if c.Shares != nil && *c.Shares != 0 {
		p.add(cpu, "cpu.weight", strconv.FormatUint(Weight(*c.Shares), 10))
	}
	if c.Idle != nil {
		p.add(cpu, "cpu.idle", strconv.FormatInt(*c.Idle, 10))
	}
	if s, ok := bandwidth(c); ok {
		p.add(cpu, "cpu.max", s)
	}
	if c.Burst != nil {
		p.add(cpu, "cpu.max.burst", strconv.FormatUint(*c.Burst, 10))
	}
	if c.Cpus != "" {
		p.add(cpuset, "cpuset.cpus", c.Cpus)
	}
	if c.Mems != "" {
		p.add(cpuset, "cpuset.mems", c.Mems)
	}
	return nil
}

// DefaultPeriod is that of processor time, in microseconds, where only a quota is
// given (kernel doc, cpu.max).
const DefaultPeriod = 100_000

func bandwidth(c *specs.LinuxCPU) (string, bool) {
	quota, period := unlimited, uint64(DefaultPeriod)
	if c.Period != nil && *c.Period != 0 {
		period = *c.Period
	}
	if c.Quota != nil && *c.Quota > 0 {
		quota = strconv.FormatInt(*c.Quota, 10)
	}
	set := c.Quota != nil && *c.Quota != 0 || c.Period != nil && *c.Period != 0
	return quota + " " + strconv.FormatUint(period, 10), set
}

// Weight turns shares of cgroup v1, 2 to 262144 with 1024 as the default, into a
// weight of v2, 1 to 10000 with 100, such that the ends and the defaults meet: the
// curve that the runtimes have agreed on (opencontainers/cgroups,
// kubernetes KEP-2254).
func Weight(shares uint64) uint64 {
	const lowest, highest, most = 2, 262144, 10000
	if shares <= lowest {
		return 1
	}
	if shares >= highest {
		return most
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

func (p *plan) pids(r *specs.LinuxResources) error {
	if r.Pids == nil || r.Pids.Limit == nil {
		return nil
	}
	n := *r.Pids.Limit
	if n == 0 { // config-linux.md: no process at all; peers take it for "no limit"
		n = -1
	}
	p.add(pids, "pids.max", bytes(n))
	return nil
}

func (p *plan) io(r *specs.LinuxResources) error {
	b := r.BlockIO
	if b == nil {
		return nil
	}
	if b.LeafWeight != nil && *b.LeafWeight != 0 {
		return errors.New("blockIO.leafWeight: only cgroup v1 has it")
	}
	if b.Weight != nil && *b.Weight != 0 {
		w, err := ioWeight(*b.Weight)
		if err != nil {
			return err
		}
		p.writes = append(p.writes, w)
	}
	for _, d := range b.WeightDevice {
		if err := p.deviceWeight(d); err != nil {
			return err
		}
	}
	p.throttle(b)
	return nil
}

func (p *plan) deviceWeight(d specs.LinuxWeightDevice) error {
	if d.LeafWeight != nil && *d.LeafWeight != 0 {
		return errors.New("blockIO.weightDevice.leafWeight: only cgroup v1 has it")
	}
	if d.Weight == nil || *d.Weight == 0 {
		return nil
	}
	p.add(io, "io.bfq.weight", fmt.Sprintf("%d:%d %d", d.Major, d.Minor, *d.Weight))
	return checkIOWeight(*d.Weight)
}

func (p *plan) throttle(b *specs.LinuxBlockIO) {
	for _, t := range []struct {
		key  string
		list []specs.LinuxThrottleDevice
	}{
		{"rbps", b.ThrottleReadBpsDevice},
		{"wbps", b.ThrottleWriteBpsDevice},
		{"riops", b.ThrottleReadIOPSDevice},
		{"wiops", b.ThrottleWriteIOPSDevice},
	} {
		for _, d := range t.list {
			rate := strconv.FormatUint(d.Rate, 10)
			if d.Rate == 0 {
				rate = unlimited
			}
			p.add(io, "io.max", fmt.Sprintf("%d:%d %s=%s", d.Major, d.Minor, t.key, rate))
		}
	}
}

func checkIOWeight(w uint16) error {
	const lowest, highest = 10, 1000
	if w < lowest || w > highest {
		return fmt.Errorf("blockIO.weight %d: want %d to %d", w, lowest, highest)
	}
	return nil
}

// ioWeight prefers the file of the scheduler that has the same scale.
func ioWeight(w uint16) (cgroups.Write, error) {
	const from, span, to = 10, 990, 9999
	scaled := 1 + (uint64(w)-from)*to/span
	return cgroups.Write{
		Controller: io, File: "io.bfq.weight", Value: strconv.Itoa(int(w)),
		Or: &cgroups.Write{Controller: io, File: "io.weight", Value: strconv.FormatUint(scaled, 10)},
	}, checkIOWeight(w)
}

func (p *plan) others(r *specs.LinuxResources) error {
	if r.Network != nil {
		return errors.New("network: only cgroup v1 has it")
	}
	for _, h := range r.HugepageLimits {
		p.add(hugetlb, "hugetlb."+h.Pagesize+".max", strconv.FormatUint(h.Limit, 10))
	}
	for _, dev := range slices.Sorted(maps.Keys(r.Rdma)) {
		value := dev
		if n := r.Rdma[dev].HcaHandles; n != nil {
			value += fmt.Sprintf(" hca_handle=%d", *n)
		}
		if n := r.Rdma[dev].HcaObjects; n != nil {
			value += fmt.Sprintf(" hca_object=%d", *n)
		}
		p.add(rdma, "rdma.max", value)
	}
	return nil
}

// unified are files by their names, after everything else: they have the last word.
func (p *plan) unified(r *specs.LinuxResources) error {
	for _, file := range slices.Sorted(maps.Keys(r.Unified)) {
		controller, _, ok := strings.Cut(file, ".")
		if !ok || path.Base(file) != file || strings.HasPrefix(file, ".") {
			return fmt.Errorf("unified: %q: is not the name of a control file", file)
		}
		if controller == "cgroup" {
			switch file {
			case "cgroup.max.depth", "cgroup.max.descendants":
				controller = ""
			default:
				return fmt.Errorf("unified: %s: is not a limit", file)
			}
		}
		for line := range strings.Lines(r.Unified[file]) {
			p.add(controller, file, strings.TrimSuffix(line, "\n"))
		}
	}
	return nil
}
