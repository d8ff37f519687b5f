package kern

import "golang.org/x/sys/unix"

// EasyTimerSlack is a timer slack in nanoseconds for a process that boots: its runtime's
// watchdog asks to be woken every 20 us for the first milliseconds, each time at the cost
// of 10 us, and does as well with one wake-up in a millisecond. A run is 45 instead of 51
// ms of processor time with it.
const EasyTimerSlack = 1_000_000

// SetTimerSlack sets how much later than asked for the calling thread may be woken by a
// timer, in nanoseconds; 0 is what the thread began with. Threads and processes that it
// makes begin with it, and execve keeps it (prctl(2), PR_SET_TIMERSLACK).
func SetTimerSlack(ns uint64) error {
	_, err := unix.PrctlRetInt(unix.PR_SET_TIMERSLACK, uintptr(ns), 0, 0, 0)
	return err
}

// TimerSlack is the calling thread's.
func TimerSlack() (ns uint64, err error) {
	n, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	return uint64(n), err //nolint:gosec // never negative without an error
}
