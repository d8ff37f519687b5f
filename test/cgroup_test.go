package test

import (
	"errors"
	"fmt"
	"io/fs"
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
	dir, err := managerGroup(h)
	return dir != "", err
}

// hasController reports whether such a group can have a controller.
func hasController(name string) (bool, error) {
	h, err := cgroups.Find()
	if err != nil {
		return false, err
	}
	dir := h.Base
	if dir == "" {
		if dir, err = managerGroup(h); err != nil || dir == "" {
			return false, err
		}
	}
	have, err := cgroups.Available(dir)
	return slices.Contains(have, name), err
}

// managerGroup is the control group of the user's systemd, "" if none runs. Scripts
// have a XDG_RUNTIME_DIR of their own; nook finds systemd nevertheless.
func managerGroup(h cgroups.Host) (string, error) {
	uid := os.Getuid()
	if _, err := os.Stat(fmt.Sprintf("/run/user/%d/systemd/private", uid)); err != nil || h.Layout != cgroups.Unified {
		return "", nil
	}
	dir := filepath.Join(h.Mount, fmt.Sprintf("user.slice/user-%d.slice/user@%d.service", uid, uid))
	_, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return dir, err
}
