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
	num := func(n int64) string { return strconv.FormatInt(n, 10) }
	switch {
	case r.Memory > 0 && r.Memory < MinMemory:
		return bad("memory limit", num(r.Memory), "want at least 6m")
	case r.MemoryReservation > 0 && r.MemoryReservation < MinMemory:
		return bad("memory reservation", num(r.MemoryReservation), "want at least 6m")
	case r.Memory > 0 && r.MemoryReservation > r.Memory:
		return bad("memory reservation", num(r.MemoryReservation), "is above the memory limit %d", r.Memory)
	case r.MemorySwap > 0 && r.Memory <= 0:
		return bad("swap limit", num(r.MemorySwap), "it includes memory: a memory limit is needed, too")
	case r.MemorySwap > 0 && r.MemorySwap < r.Memory:
		return bad("swap limit", num(r.MemorySwap), "it includes memory: want at least the memory limit %d", r.Memory)
	case r.CPUShares != 0 && (r.CPUShares < minShares || r.CPUShares > maxShares):
		return bad("CPU shares", strconv.FormatUint(r.CPUShares, 10), "want %d to %d", minShares, maxShares)
	case r.CPUPeriod != 0 && (r.CPUPeriod < minPeriod || r.CPUPeriod > maxPeriod):
		return bad("CPU period", strconv.FormatUint(r.CPUPeriod, 10), "want %d to %d microseconds", minPeriod, maxPeriod)
	case r.CPUQuota > 0 && r.CPUQuota < minQuota:
		return bad("CPU quota", num(r.CPUQuota), "want at least %d microseconds", minQuota)
	case r.BlkioWeight != 0 && (r.BlkioWeight < minWeight || r.BlkioWeight > maxWeight):
		return bad("block IO weight", strconv.Itoa(int(r.BlkioWeight)), "want %d to %d", minWeight, maxWeight)
	}
	return nil
}
