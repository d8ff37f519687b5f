package sys

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Real-time signals as the C library counts them: it keeps 32 and 33 (signal(7)).
const (
	sigRTMin = 34
	sigRTMax = 64
)

// ParseSignal reads a signal by number, or by name in either case with or without
// SIG: 15, TERM, SIGTERM, RTMIN+3, SIGRTMAX-1.
func ParseSignal(text string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(text); err == nil {
		if n < 1 || n > sigRTMax {
			return 0, fmt.Errorf("signal %d: want 1 to %d", n, sigRTMax)
		}
		return syscall.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if s := unix.SignalNum("SIG" + name); s != 0 {
		return s, nil
	}
	if rt, ok := strings.CutPrefix(name, "RTMIN"); ok {
		return realTime(text, rt, "+", sigRTMin, 1)
	}
	if rt, ok := strings.CutPrefix(name, "RTMAX"); ok {
		return realTime(text, rt, "-", sigRTMax, -1)
	}
	return 0, fmt.Errorf("signal %q: unknown; see signal(7)", text)
}

func realTime(text, offset, sign string, from, step int) (syscall.Signal, error) {
	if offset == "" {
		return syscall.Signal(from), nil
	}
	digits, ok := strings.CutPrefix(offset, sign)
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 0 || n > sigRTMax-sigRTMin {
		return 0, fmt.Errorf("signal %q: want RTMIN+N or RTMAX-N, N from 0 to %d", text, sigRTMax-sigRTMin)
	}
	return syscall.Signal(from + step*n), nil
}
