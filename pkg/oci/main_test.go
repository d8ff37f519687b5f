package oci_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/oci/stage"
)

// insideVar tells the test program that it runs as root of a user namespace.
const insideVar = "NOOK_TEST_INSIDE"

// The test program is the runtime's program too, so it has its early stages.
func init() { //nolint:gochecknoinits // before the test framework starts threads
	switch os.Args[0] {
	case plan.InitName:
		runtime.LockOSThread()
		stage.Run()
	case plan.EnterName:
		runtime.LockOSThread()
		stage.Enter()
	case plan.ReaperName:
		stage.Reap()
	case "/proc/self/exe": // interpreter of a script that TestOwnProgramIsSafe runs
		os.Exit(0)
	}
}

// TestMain runs the tests as nook's engine runs: root of a user namespace with
// many ids, in a mount namespace of its own.
func TestMain(m *testing.M) {
	if slices.ContainsFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "-test.fuzz=") || a == "-test.fuzzworker" }) {
		os.Exit(m.Run()) // what is fuzzed is pure, and its workers have pipes of their own
	}
	if os.Getenv(insideVar) != "" {
		if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
			fmt.Println("wait for maps:", err)
			os.Exit(1)
		}
		if err := errors.Join(syscall.Setgid(0), syscall.Setuid(0)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if err := runInside(); err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			os.Exit(e.ExitCode())
		}
		fmt.Println(err)
		os.Exit(1)
	}
}

func runInside() error {
	caps := make([]uintptr, 41)
	for i := range caps {
		caps[i] = uintptr(i)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideVar+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, AmbientCaps: caps}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := mapIDs(cmd.Process.Pid); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	if _, err := in.Write([]byte{1}); err != nil {
		return err
	}
	return cmd.Wait()
}

func mapIDs(pid int) error {
	for _, m := range [...]struct {
		file, prog, sub string
		id              int
	}{{"uid_map", "newuidmap", "/etc/subuid", os.Getuid()}, {"gid_map", "newgidmap", "/etc/subgid", os.Getgid()}} {
		if os.Getuid() == 0 {
			text := "0 0 1\n1 100001 65535\n"
			if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, m.file), []byte(text), 0); err != nil {
				return err
			}
			continue
		}
		start, count, err := subIDs(m.sub)
		if err != nil {
			return err
		}
		out, err := exec.Command(m.prog, strconv.Itoa(pid), "0", strconv.Itoa(m.id), "1", "1", start, count).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", m.prog, err, out)
		}
	}
	return nil
}

func subIDs(file string) (start, count string, err error) {
	u, err := user.Current()
	if err != nil {
		return "", "", err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) == 3 && (f[0] == u.Username || f[0] == u.Uid) {
			return f[1], f[2], nil
		}
	}
	return "", "", fmt.Errorf("%s: no range for %s", file, u.Username)
}
