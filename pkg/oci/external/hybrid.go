package external

import (
	"fmt"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

const (
	cgroupRoot  = "/sys/fs/cgroup"
	unifiedRoot = "/sys/fs/cgroup/unified" // of v2, on hosts that have both versions
)

// runUnified runs cmd where cgroup v2 is at its usual place. On a hybrid host,
// where other runtimes look there for v1 or give up, that is a mount namespace
// of the command's own. Only a thread can go there, so one is spent on it: a
// goroutine that ends locked takes its thread with it.
func runUnified(cmd *exec.Cmd) error {
	if isCgroup2(cgroupRoot) || !isCgroup2(unifiedRoot) {
		return sys.PlainTimers(cmd.Run)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := enterUnified()
		if err == nil {
			err = sys.PlainTimers(cmd.Run)
		}
		done <- err
	}()
	return <-done
}

func isCgroup2(path string) bool {
	fd, err := kern.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return false
	}
	defer kern.Close(fd)
	magic, err := kern.FSMagic(fd)
	return err == nil && magic == kern.Cgroup2Magic
}

func enterUnified() error {
	if err := kern.UnshareMounts(); err != nil {
		return fmt.Errorf("mount namespace for a hybrid host: %w", err)
	}
	if err := kern.Propagation("/", syscall.MS_REC|syscall.MS_SLAVE); err != nil {
		return fmt.Errorf("mount namespace for a hybrid host: %w", err)
	}
	tree, err := kern.CloneTree(kern.AtCwd, unifiedRoot)
	if err != nil {
		return fmt.Errorf("cgroup v2 of a hybrid host: %w", err)
	}
	defer kern.Close(tree)
	return kern.AttachAt(tree, cgroupRoot)
}
