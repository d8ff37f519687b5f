package oci

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/oci/plan"
)

func (b *blueprint) limits(c *Config, linux *specs.Linux) error {
	p := c.Spec.Process
	for _, r := range p.Rlimits {
		n, ok := rlimitNumber(r.Type)
		if !ok {
			return fmt.Errorf("process.rlimits: type %q: unknown", r.Type)
		}
		if r.Soft > r.Hard {
			return fmt.Errorf("process.rlimits: %s: soft limit %d is above the hard limit %d", r.Type, r.Soft, r.Hard)
		}
		b.plan.Rlimits = append(b.plan.Rlimits, plan.Rlimit{Name: r.Type, Resource: n, Soft: r.Soft, Hard: r.Hard})
	}
	if p.Scheduler != nil {
		s, err := planScheduler(p.Scheduler)
		if err != nil {
			return fmt.Errorf("process.scheduler: %w", err)
		}
		b.plan.Scheduler = s
	}
	if p.IOPriority != nil {
		prio, err := ioPriority(p.IOPriority)
		if err != nil {
			return fmt.Errorf("process.ioPriority: %w", err)
		}
		b.plan.IOPriority = &prio
	}
	if linux.Personality != nil {
		d, err := personality(linux.Personality)
		if err != nil {
			return fmt.Errorf("linux.personality: %w", err)
		}
		b.plan.Personality = &d
	}
	return nil
}

// rlimitNumber gives RLIMIT_* of asm-generic/resource.h, which amd64 and arm64
// use.
func rlimitNumber(name string) (int, bool) {
	for i, n := range [...]string{
		"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS",
		"LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
	} {
		if name == "RLIMIT_"+n {
			return i, true
		}
	}
	return 0, false
}

// planScheduler uses the numbers of sched.h and the flags of linux/sched.h.
func planScheduler(s *specs.Scheduler) (*plan.Scheduler, error) {
	if s.Priority < 0 {
		return nil, fmt.Errorf("priority %d: out of range", s.Priority)
	}
	out := &plan.Scheduler{
		Nice: s.Nice, Priority: uint32(s.Priority), Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
	}
	switch s.Policy {
	case specs.SchedOther:
		out.Policy = 0
	case specs.SchedFIFO:
		out.Policy = 1
	case specs.SchedRR:
		out.Policy = 2
	case specs.SchedBatch:
		out.Policy = 3
	case specs.SchedISO:
		out.Policy = 4
	case specs.SchedIdle:
		out.Policy = 5
	case specs.SchedDeadline:
		out.Policy = 6
	default:
		return nil, fmt.Errorf("policy %q: unknown", s.Policy)
	}
	for _, f := range s.Flags {
		bit, ok := schedulerFlag(f)
		if !ok {
			return nil, fmt.Errorf("flag %q: unknown", f)
		}
		out.Flags |= bit
	}
	return out, nil
}

func schedulerFlag(f specs.LinuxSchedulerFlag) (uint64, bool) {
	switch f {
	case specs.SchedFlagResetOnFork:
		return 0x01, true
	case specs.SchedFlagReclaim:
		return 0x02, true
	case specs.SchedFlagDLOverrun:
		return 0x04, true
	case specs.SchedFlagKeepPolicy:
		return 0x08, true
	case specs.SchedFlagKeepParams:
		return 0x10, true
	case specs.SchedFlagUtilClampMin:
		return 0x20, true
	case specs.SchedFlagUtilClampMax:
		return 0x40, true
	}
	return 0, false
}

// ioPriority composes class and priority as ioprio_set(2) does.
func ioPriority(p *specs.LinuxIOPriority) (int, error) {
	const classShift, maxPriority = 13, 7
	class := 0
	switch p.Class {
	case specs.IOPRIO_CLASS_RT:
		class = 1
	case specs.IOPRIO_CLASS_BE:
		class = 2
	case specs.IOPRIO_CLASS_IDLE:
		class = 3
	default:
		return 0, fmt.Errorf("class %q: unknown", p.Class)
	}
	if p.Priority < 0 || p.Priority > maxPriority {
		return 0, fmt.Errorf("priority %d: want 0 to %d", p.Priority, maxPriority)
	}
	return class<<classShift | p.Priority, nil
}

func personality(p *specs.LinuxPersonality) (uint32, error) {
	const perLinux, perLinux32 = 0, 8
	if len(p.Flags) > 0 {
		return 0, fmt.Errorf("flag %q: unknown", p.Flags[0]) // the spec defines none
	}
	switch p.Domain {
	case specs.PerLinux:
		return perLinux, nil
	case specs.PerLinux32:
		return perLinux32, nil
	}
	return 0, fmt.Errorf("domain %q: unknown", p.Domain)
}
