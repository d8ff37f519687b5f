package sys

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Crowded reports whether there are more than twice as many threads that could run
// now as processors that this process may use (/proc/loadavg, proc_loadavg(5)); not
// known: false.
func Crowded() bool {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return false
	}
	n, ok := runnable(text)
	return ok && n > 2*runtime.NumCPU()
}

// runnable is the number before the slash in the fourth field.
func runnable(loadavg []byte) (int, bool) {
	fields := bytes.Fields(loadavg)
	if len(fields) < 4 {
		return 0, false
	}
	text, _, _ := bytes.Cut(fields[3], []byte("/"))
	n, err := strconv.Atoi(string(text))
	return n, err == nil
}

// calm is how often AwaitCalm looks.
const calm = 100 * time.Millisecond

// AwaitCalm waits while the processors are Crowded, but no longer than most, not once
// any of files can be read or has an error (poll(2)), and not long once called reports
// true. It is a courtesy: what keeps it from waiting is ignored.
func AwaitCalm(most time.Duration, called func() bool, files ...*os.File) {
	awaitCalm(func() bool { return Crowded() && !called() }, most, files)
}

func awaitCalm(crowded func() bool, most time.Duration, files []*os.File) {
	var fds []unix.PollFd
	for _, f := range files {
		c, err := f.SyscallConn()
		if err == nil {
			err = c.Control(func(fd uintptr) { fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}) }) //nolint:gosec // a descriptor
		}
		if err != nil {
			return
		}
	}
	for end := time.Now().Add(most); crowded() && time.Now().Before(end); {
		n, err := 0, error(nil)
		err = retryEINTR(func() error {
			n, err = unix.Poll(fds, int(calm.Milliseconds()))
			return err
		})
		if n > 0 || err != nil {
			return
		}
	}
}
