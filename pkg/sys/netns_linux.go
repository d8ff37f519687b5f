package sys

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// InNetNS runs fn on a thread of its own inside the network namespace ns. A
// thread of an ordinary user can't go back to the host's namespace, which
// another user namespace owns, so this one ends afterwards. Sockets that fn opens
// stay in ns. fn must start no goroutines that count on being there.
func InNetNS(ns *os.File, fn func() error) error {
	return onOwnThread(func() error {
		if err := retryEINTR(func() error { return unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET) }); err != nil {
			return fmt.Errorf("setns %s: %w", ns.Name(), err)
		}
		return fn()
	})
}

// NewNetNS makes a network namespace and returns a descriptor that holds it.
// EPERM: no CAP_SYS_ADMIN in the user namespace.
func NewNetNS() (*os.File, error) {
	var ns *os.File
	err := onOwnThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare CLONE_NEWNET", err)
		}
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return ns, err
}

func onOwnThread(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- fn()
	}()
	return <-done
}

// SkipDAD has interfaces made in ns later use their addresses at once, without asking
// whether another has them (accept_dad, ip-sysctl). Such a question has no sender, and
// pasta of 2023 takes the sender of whatever it read last for its guest: answers went
// nowhere, and one of 20 IPv6 connections of the first second stood still for ever.
// Without IPv6, or where /proc is read-only, nothing is done.
func SkipDAD(ns *os.File) {
	_ = InNetNS(ns, func() error { return WriteProc("/proc/sys/net/ipv6/conf/default/accept_dad", "0") })
}
