package oci

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/problem/remedy"
	"github.com/nook-containers/nook/pkg/sys"
)

// writeMaps gives pid's new user namespace its ids. Whoever holds CAP_SETUID
// writes them directly; a plain user may write one id, its own, and everything
// else goes through newuidmap(1) and newgidmap(1), which know what it owns.
func writeMaps(pid int, l *specs.Linux) error {
	if len(l.UIDMappings) == 0 || len(l.GIDMappings) == 0 {
		return errors.New("linux.uidMappings, linux.gidMappings: a new user namespace needs both")
	}
	if !maps(l.UIDMappings, 0) || !maps(l.GIDMappings, 0) {
		return errors.New("linux.uidMappings, linux.gidMappings: id 0 of the container is not mapped, so nobody could set it up")
	}
	if err := writeMap(pid, "uid_map", l.UIDMappings); !errors.Is(err, syscall.EPERM) {
		if err != nil {
			return err
		}
		return writeGIDMap(pid, l.GIDMappings)
	}
	if len(l.UIDMappings) == 1 && len(l.GIDMappings) == 1 && l.UIDMappings[0].Size == 1 && l.GIDMappings[0].Size == 1 {
		return fmt.Errorf("map user namespace: id %d is not this user's own", l.UIDMappings[0].HostID)
	}
	return runMappers(pid, l)
}

func maps(list []specs.LinuxIDMapping, id uint32) bool {
	for _, m := range list {
		if id >= m.ContainerID && uint64(id) < uint64(m.ContainerID)+uint64(m.Size) {
			return true
		}
	}
	return false
}

func mapText(list []specs.LinuxIDMapping) string {
	var b strings.Builder
	for _, m := range list {
		fmt.Fprintf(&b, "%d %d %d\n", m.ContainerID, m.HostID, m.Size)
	}
	return b.String()
}

func writeMap(pid int, file string, list []specs.LinuxIDMapping) error {
	// The kernel takes the whole map in one write(2), of less than a page
	// (user_namespaces(7)).
	text := mapText(list)
	if len(text) >= os.Getpagesize() {
		return fmt.Errorf("write %s: %d ranges are more than the kernel takes", file, len(list))
	}
	if err := sys.WriteProc(fmt.Sprintf("/proc/%d/%s", pid, file), text); err != nil {
		return fmt.Errorf("write %s %q: %w", file, text, err)
	}
	return nil
}

// writeGIDMap follows a uid map that was written directly. A plain user must
// give up setgroups(2) first (user_namespaces(7)).
func writeGIDMap(pid int, list []specs.LinuxIDMapping) error {
	err := writeMap(pid, "gid_map", list)
	if !errors.Is(err, syscall.EPERM) {
		return err
	}
	if err := sys.WriteProc(fmt.Sprintf("/proc/%d/setgroups", pid), "deny"); err != nil {
		return fmt.Errorf("write setgroups: %w", err)
	}
	return writeMap(pid, "gid_map", list)
}

func runMappers(pid int, l *specs.Linux) error {
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() { errs[0] = runMapper("newuidmap", pid, l.UIDMappings) })
	wg.Go(func() { errs[1] = runMapper("newgidmap", pid, l.GIDMappings) })
	wg.Wait()
	return errors.Join(errs[:]...)
}

func runMapper(prog string, pid int, list []specs.LinuxIDMapping) error {
	args := []string{strconv.Itoa(pid)}
	for _, m := range list {
		args = append(args, fmt.Sprint(m.ContainerID), fmt.Sprint(m.HostID), fmt.Sprint(m.Size))
	}
	out, err := exec.Command(prog, args...).CombinedOutput() //nolint:noctx // it has nothing to wait for
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return remedy.Missing(fmt.Errorf("map user namespace: %w", err), remedy.UIDMap())
	case err != nil:
		return problem.Hint(fmt.Errorf("map user namespace: %s: %w: %s", prog, err, strings.TrimSpace(string(out))),
			"compare linux.uidMappings and linux.gidMappings with /etc/subuid and /etc/subgid")
	}
	return nil
}
