package sys

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/pkg/sys/kern"
)

// TimerSlack is this process's timer slack in nanoseconds: that of its first thread, where
// this may look, since threads that the runtime's watchdog made may have more; else the
// calling thread's (proc_pid_timerslack_ns(5)).
func TimerSlack() (ns uint64, err error) {
	if text, err := os.ReadFile("/proc/self/timerslack_ns"); err == nil {
		return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	}
	return kern.TimerSlack()
}

// PlainTimers runs start, which forks, in a thread with this process's timer slack: other
// programs than this one must not begin with what NSFork.EaseTimers gave to its runtime.
func PlainTimers(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if slack, err := TimerSlack(); err == nil {
		_ = kern.SetTimerSlack(slack)
	}
	return start()
}

// easeTimers runs start, which forks, in a thread with kern.EasyTimerSlack.
func easeTimers(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if slack, err := kern.TimerSlack(); err == nil && kern.SetTimerSlack(kern.EasyTimerSlack) == nil {
		defer func() { _ = kern.SetTimerSlack(slack) }() // it was this before
	}
	return start()
}
