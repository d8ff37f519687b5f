// Package storetest runs the tests of packages that need the store's user
// namespace, and makes images for them.
package storetest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.podman.io/storage/pkg/reexec"
)

const insideVar = "NOOK_TEST_INSIDE"

// Main is the TestMain of such a package: it runs the tests in a new user and
// mount namespace, as its root, with the ids that /etc/subuid and /etc/subgid
// give the caller. Run by root it takes ids of its own choice.
func Main(m *testing.M) {
	if reexec.Init() { // containers/storage's helpers
		os.Exit(0)
	}
	switch os.Getenv(insideVar) {
	case "wait": // for the maps
		gate := os.NewFile(3, "gate")
		_, _ = io.ReadAll(gate)
		gate.Close()
		os.Setenv(insideVar, "ready")
		os.Exit(m.Run())
	case "ready": // a process that such a process started: a fuzzing worker
		os.Exit(m.Run())
	}
	code, err := again()
	if err != nil {
		fmt.Fprintln(os.Stderr, "storetest:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// again runs this program in the namespaces and returns its exit status.
func again() (int, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	caps := make([]uintptr, 41) // all up to CAP_CHECKPOINT_RESTORE
	for i := range caps {
		caps[i] = uintptr(i)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideVar+"=wait",
		"_CONTAINERS_USERNS_CONFIGURED=done",
		"_CONTAINERS_ROOTLESS_UID="+strconv.Itoa(os.Getuid()), "_CONTAINERS_ROOTLESS_GID="+strconv.Itoa(os.Getgid()),
		"CONTAINERS_STORAGE_CONF=/dev/null")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{r}
	// Ambient capabilities survive the execve that happens before the maps exist.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, AmbientCaps: caps}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("user namespace: %w", err)
	}
	r.Close()
	if err := writeMaps(cmd.Process.Pid); err != nil {
		return 0, errors.Join(err, cmd.Process.Kill())
	}
	w.Close()
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}

func writeMaps(pid int) error {
	if os.Getuid() == 0 {
		for _, kind := range []string{"uid", "gid"} {
			path := fmt.Sprintf("/proc/%d/%s_map", pid, kind)
			if err := os.WriteFile(path, []byte("0 0 1\n1 300000 65536\n"), 0); err != nil {
				return err
			}
		}
		return nil
	}
	for _, k := range []struct {
		tool, file string
		id         int
	}{{"newuidmap", "/etc/subuid", os.Getuid()}, {"newgidmap", "/etc/subgid", os.Getgid()}} {
		first, count, err := subIDs(k.file)
		if err != nil {
			return err
		}
		out, err := exec.Command(k.tool, strconv.Itoa(pid), "0", strconv.Itoa(k.id), "1", "1", first, count).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", k.tool, err, out)
		}
	}
	return nil
}

func subIDs(file string) (first, count string, err error) {
	me, err := user.Current()
	if err != nil {
		return "", "", err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) == 3 && (f[0] == me.Username || f[0] == me.Uid) {
			return f[1], f[2], nil
		}
	}
	return "", "", fmt.Errorf("%s has no line for %s", file, me.Username)
}
