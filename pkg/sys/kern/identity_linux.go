package kern

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Identity tells one process from a later one with the same pid.
type Identity struct {
	StartTime uint64 // clock ticks since boot
	Dead      bool   // a zombie, or about to be none
}

// Identify reads the identity of pid (proc_pid_stat(5)). Without such a process
// the error is fs.ErrNotExist.
func Identify(pid int) (Identity, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, unix.ESRCH) { // it ended between open and read
		err = os.ErrNotExist
	}
	if err != nil {
		return Identity{}, err
	}
	// The name, in brackets, may contain anything.
	i := bytes.LastIndexByte(data, ')')
	if i < 0 {
		return Identity{}, fmt.Errorf("/proc/%d/stat: no command name", pid)
	}
	const state, startTime = 0, 19 // fields 3 and 22
	f := bytes.Fields(data[i+1:])
	if len(f) <= startTime {
		return Identity{}, fmt.Errorf("/proc/%d/stat: too short", pid)
	}
	ticks, err := strconv.ParseUint(string(f[startTime]), 10, 64)
	return Identity{StartTime: ticks, Dead: f[state][0] == 'Z' || f[state][0] == 'X'}, err
}

// ErrWouldBlock is what TryLock answers where another holds the lock.
const ErrWouldBlock = unix.EWOULDBLOCK

// TryLock takes an exclusive flock(2) without waiting.
func TryLock(fd int) error {
	return Retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
}

// TryShare takes a shared flock(2) without waiting.
func TryShare(fd int) error {
	return Retry(func() error { return unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB) })
}

// SignalNumber returns the number of a signal: "9", "KILL" or "SIGKILL", in
// either case; also the real-time ones as "RTMIN+N".
func SignalNumber(name string) (unix.Signal, bool) {
	const rtmin, last = 34, 64 // as C libraries number them
	if n, err := strconv.Atoi(name); err == nil {
		return unix.Signal(n), n > 0 && n <= last
	}
	name = string(bytes.ToUpper([]byte(name)))
	if len(name) < 3 || name[:3] != "SIG" {
		name = "SIG" + name
	}
	if rest, ok := bytes.CutPrefix([]byte(name), []byte("SIGRTMIN")); ok {
		n := 0
		if len(rest) > 0 {
			var err error
			if n, err = strconv.Atoi(string(rest)); err != nil || rest[0] != '+' {
				return 0, false
			}
		}
		return unix.Signal(rtmin + n), n >= 0 && rtmin+n <= last
	}
	n := unix.SignalNum(name)
	return n, n != 0
}
