package config

import (
	"os"
	"path/filepath"
	"strings"
)

// unshareVar, in the environment of "nook unshare" and what runs in it, names the
// mount namespace that mounts are to be made in.
const unshareVar = "_CONTAINERS_NOOK_UNSHARE"

// mountNS is this process's mount namespace, as the kernel names it.
func mountNS() string {
	name, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return ""
	}
	return name
}

// Unshared reports whether this process runs in "nook unshare": as root of the
// user's namespace, in the mount namespace that was made for the user to work in.
func Unshared() bool {
	name := os.Getenv(unshareVar)
	return name != "" && name == mountNS()
}

// UnshareEnviron is env for a program of the user's in the user namespace: with
// what nook needs when it is called there, and with where the store is, under the
// names that scripts know from podman-unshare(1).
func UnshareEnviron(env []string, graphRoot, runRoot string) []string {
	return append(EngineEnviron(env),
		unshareVar+"="+mountNS(), "CONTAINERS_GRAPHROOT="+graphRoot, "CONTAINERS_RUNROOT="+runRoot)
}

// Shell is the user's: $SHELL, else /bin/sh.
func Shell(env []string) string {
	for _, e := range env {
		if shell, ok := strings.CutPrefix(e, "SHELL="); ok && filepath.IsAbs(shell) {
			return shell
		}
	}
	return "/bin/sh"
}
