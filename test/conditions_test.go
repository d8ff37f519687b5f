package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// condition adds to testscript's own:
//
//	[root]               the user is root
//	[kernel:5.11]        the kernel is that or newer
//	[exists:/path]       there is such a file
//	[cgroup2]            the unified hierarchy alone, with delegated controllers or not
//	[cgroup]             a container gets a control group
//	[cgroup:own]         one that nook makes without systemd, in a part of the tree that is the user's
//	[controller:memory]  which can have that controller
//	[systemd]            the user has a manager, and a session bus; see the command session
//	[journald]           there is a journal, and journalctl
//	[lowports]           an ordinary user may listen on port 80
//	[machine:vm]         it runs in such a machine; docs/testing.md
func condition(cond string) (bool, error) {
	name, arg, _ := strings.Cut(cond, ":")
	switch name {
	case "root":
		return os.Getuid() == 0, nil
	case "kernel":
		return kernelAtLeast(arg)
	case "exists":
		return exists(arg), nil
	case "cgroup2":
		return exists("/sys/fs/cgroup/cgroup.controllers"), nil
	case "controller":
		return cgroupHas(arg)
	case "systemd":
		return exists(sessionDir("bus")) && exists(sessionDir("systemd/private")), nil
	case "journald":
		_, err := exec.LookPath("journalctl")
		return err == nil && exists("/run/systemd/journal/socket"), nil
	case "cgroup":
		return hasCgroup(arg)
	case "lowports":
		return lowPorts()
	case "routed":
		return routed()
	case "machine":
		return os.Getenv("NOOK_MACHINE") == arg, nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

// lowPorts reports whether an ordinary user may listen on port 80.
func lowPorts() (bool, error) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		return false, err
	}
	first, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return first <= 80, err
}

// routed reports whether the host has a default route, by IPv4 (proc_pid_net(5)).
func routed() (bool, error) {
	text, err := os.ReadFile("/proc/self/net/route")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 7 && f[1] == "00000000" && f[7] == "00000000" {
			return true, nil
		}
	}
	return false, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// sessionDir is a path in the runtime directory that a login gives the user.
// Scripts have directories of their own.
func sessionDir(elem string) string {
	return filepath.Join("/run/user", strconv.Itoa(os.Getuid()), elem)
}

func kernelAtLeast(want string) (bool, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return false, err
	}
	var have, need [2]int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &have[0], &have[1]); err != nil {
		return false, err
	}
	if _, err := fmt.Sscanf(want, "%d.%d", &need[0], &need[1]); err != nil {
		return false, fmt.Errorf("kernel:%s: want MAJOR.MINOR", want)
	}
	return have[0] > need[0] || have[0] == need[0] && have[1] >= need[1], nil
}
