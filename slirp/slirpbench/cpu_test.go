package slirpbench

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// used is the processor time of this process, which has the clients and servers, and
// of the children that have ended.
type used struct{ own, children time.Duration }

func usedNow() used {
	return used{rusage(syscall.RUSAGE_SELF), rusage(syscall.RUSAGE_CHILDREN)}
}

func rusage(who int) time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(who, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// showUsed prints, when the backend has ended, what a round took for each Mbit or
// operation: that says more than a rate where others use the machine.
func showUsed(b *testing.B, name string, rate *float64) {
	b.Helper()
	before := usedNow()
	b.Cleanup(func() {
		now, count := usedNow(), *rate*1000*round.Seconds()
		if *showCPU && count > 0 {
			fmt.Printf("    %-12s %8.2f %8.1f us here %8.1f us in programs\n", name, *rate,
				float64(now.own-before.own)/1e3/count, float64(now.children-before.children)/1e3/count)
		}
	})
}
