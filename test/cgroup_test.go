package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/nook-containers/nook/pkg/cgroups"
)

// hasCgroup reports whether a container of this user gets a control group: made by
// nook in a part of the tree that is the user's, or also (kind is not "own") by the
// user's systemd.
func hasCgroup(kind string) (bool, error) {
	h, err := cgroups.Find()
	if err != nil || h.Base != "" || kind == "own" {
		return h.Base != "", err
	}
	return managerGroup(h) != "", nil
}

// cgroupHas reports whether such a group can have a controller.
func cgroupHas(name string) (bool, error) {
	h, err := cgroups.Find()
	if err != nil {
		return false, err
	}
	dir := h.Base
	if dir == "" {
		if dir = managerGroup(h); dir == "" {
			return false, nil
		}
	}
	have, err := cgroups.Available(dir)
	return slices.Contains(have, name), err
}

// managerGroup is the control group of the user's systemd, "" if none runs. Scripts
// have a XDG_RUNTIME_DIR of their own; nook finds systemd nevertheless.
func managerGroup(h cgroups.Host) string {
	uid := os.Getuid()
	if !exists(sessionDir("systemd/private")) || h.Layout != cgroups.Unified {
		return ""
	}
	dir := filepath.Join(h.Mount, fmt.Sprintf("user.slice/user-%d.slice/user@%d.service", uid, uid))
	if !exists(dir) {
		return ""
	}
	return dir
}
