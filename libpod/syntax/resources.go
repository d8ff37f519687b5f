package syntax

import (
	"math"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
)

// MinMemory is the least memory limit, in bytes: Docker's. A container's init needs
// about half of it before the command runs.
const MinMemory = 6 << 20

// Limits of the kernel's CPU bandwidth and shares, in microseconds and in units of
// cgroup v1 (kernel doc, "CFS Bandwidth Control"; docker-run(1)).
const (
	minPeriod, maxPeriod = 1_000, 1_000_000
	minQuota             = 1_000
	minShares, maxShares = 2, 262_144
	minWeight, maxWeight = 10, 1_000
	cpusPeriod           = 100_000
)

// Limit reads a size as Bytes does, where -1 is no limit.
func Limit(text string) (int64, error) {
	if text == "-1" || text == "unlimited" {
		return -1, nil
	}
	return Bytes(text)
}

// CPUs reads a number of processors, with a fraction, as a quota and its period in
// microseconds.
func CPUs(text string) (quota int64, period uint64, err error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || n < 0.01 || n > 1e6 {
		return 0, 0, bad("number of CPUs", text, "want a number of 0.01 or more")
	}
	return int64(math.Round(n * cpusPeriod)), cpusPeriod, nil
}

// PidsLimit reads a number of threads: 0 and -1 are no limit.
func PidsLimit(n int64) (int64, error) {
	switch {
	case n < -1:
		return 0, bad("limit of pids", strconv.FormatInt(n, 10), "want a number, or -1 for no limit")
	case n == 0:
		return -1, nil
	}
	return n, nil
}

// DeviceAmount reads PATH:NUMBER. Rates of bytes may have a unit.
func DeviceAmount(text string, number func(string) (uint64, error)) (spec.DeviceAmount, error) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 || !strings.HasPrefix(text, "/") {
		return spec.DeviceAmount{}, bad("device limit", text, "want /dev/DEVICE:NUMBER")
	}
	n, err := number(text[i+1:])
	if err != nil {
		return spec.DeviceAmount{}, bad("device limit", text, "%v", err)
	}
	return spec.DeviceAmount{Path: text[:i], Amount: n}, nil
}

// Rate reads bytes a second, for DeviceAmount.
func Rate(text string) (uint64, error) {
	n, err := Bytes(text)
	return uint64(n), err //nolint:gosec // not negative
}

// Count reads a plain number, for DeviceAmount.
func Count(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, bad("number", text, "want a number below 4294967296")
	}
	return n, nil
}

// IOWeight reads a weight, for DeviceAmount.
func IOWeight(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n < minWeight || n > maxWeight {
		return 0, bad("weight", text, "want %d to %d", minWeight, maxWeight)
	}
	return n, nil
}

// CPUSet reports what is wrong with a list of processors or memory nodes (cpuset(7),
// "List format").
func CPUSet(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		from, to, ranged := strings.Cut(part, "-")
		first, err := strconv.ParseUint(from, 10, 16)
		if err != nil {
			return bad("list", text, "want numbers and ranges, as 0-2,4")
		}
		if !ranged {
			continue
		}
		if last, err := strconv.ParseUint(to, 10, 16); err != nil || last < first {
			return bad("list", text, "want numbers and ranges, as 0-2,4")
		}
	}
	return nil
}

// Resources reports limits that contradict each other, or that the kernel would
// refuse, as Docker and podman do.
func Resources(r spec.Resources) error {
	for _, rule := range []struct {
		wrong bool
		what  string
		value int64
		why   string
	}{
		{r.Memory > 0 && r.Memory < MinMemory, "memory limit", r.Memory, "want at least 6m"},
		{r.MemoryReservation > 0 && r.MemoryReservation < MinMemory, "memory reservation", r.MemoryReservation, "want at least 6m"},
		{r.Memory > 0 && r.MemoryReservation > r.Memory, "memory reservation", r.MemoryReservation, "is above the memory limit"},
		{r.MemorySwap > 0 && r.Memory <= 0, "swap limit", r.MemorySwap, "it includes memory: a memory limit is needed, too"},
		{r.MemorySwap > 0 && r.MemorySwap < r.Memory, "swap limit", r.MemorySwap, "it includes memory: want at least the memory limit"},
		{outside(r.CPUShares, minShares, maxShares), "CPU shares", int64(r.CPUShares), "want 2 to 262144"},                  //nolint:gosec // only shown
		{outside(r.CPUPeriod, minPeriod, maxPeriod), "CPU period", int64(r.CPUPeriod), "want 1000 to 1000000 microseconds"}, //nolint:gosec // only shown
		{r.CPUQuota > 0 && r.CPUQuota < minQuota, "CPU quota", r.CPUQuota, "want at least 1000 microseconds"},
		{outside(uint64(r.BlkioWeight), minWeight, maxWeight), "block IO weight", int64(r.BlkioWeight), "want 10 to 1000"},
	} {
		if rule.wrong {
			return bad(rule.what, strconv.FormatInt(rule.value, 10), "%s", rule.why)
		}
	}
	return nil
}

// outside reports whether n was asked for, and is too little or too much.
func outside(n, least, most uint64) bool { return n != 0 && (n < least || n > most) }
