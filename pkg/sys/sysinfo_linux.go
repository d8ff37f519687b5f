package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// UptimeMemory returns the time since boot, suspension included, as
// /proc/PID/stat counts it, and the machine's memory in bytes (sysinfo(2)).
func UptimeMemory() (up time.Duration, memory uint64, err error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, 0, err
	}
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return 0, 0, err
	}
	return time.Duration(ts.Nano()), uint64(si.Totalram) * uint64(si.Unit), nil //nolint:unconvert // 32 bits wide on some architectures
}
