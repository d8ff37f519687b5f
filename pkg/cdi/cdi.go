// Package cdi finds what the host's administrator, or the user, says that a
// container needs to use a device: its nodes, and the files, variables and hooks
// that go with them (Container Device Interface, SPEC.md).
//
// # Theory of operation
//
// Descriptions are files below a few directories, written by a vendor's program
// such as nvidia-ctk; a later directory has precedence. Resolve reads them when a
// container starts, so that it sees the devices of today. It changes nothing, and
// leaves out what this host lacks; the caller puts the edits into the runtime spec
// in the way that an unprivileged user can: nodes are shown, never made.
package cdi

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/cdi"
	specs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/nook-containers/nook/pkg/problem"
)

// ErrUnknown means that no description tells of a device.
var ErrUnknown = errors.New("no such CDI device")

// anyGPU begins a name for the GPUs of whichever vendor the host has, as
// spec.AnyGPU.
const anyGPU = "gpu="

// Dirs are the directories of descriptions, the last one being the most important:
// those of the host, and the user's own below configHome.
func Dirs(configHome string) []string {
	dirs := []string{"/etc/cdi", "/run/cdi"}
	if configHome == "" {
		return dirs
	}
	return append(dirs, filepath.Join(configHome, "cdi"))
}

// Resolve returns the edits that devices need together. Notices tell of parts that
// are described but not there.
func Resolve(dirs, devices []string) (out specs.ContainerEdits, notices []string, err error) {
	cache, err := read(dirs)
	if err != nil {
		return out, nil, err
	}
	seen := map[*cdi.Spec]bool{}
	for _, name := range devices {
		d := cache.GetDevice(qualify(cache, name))
		if d == nil {
			return out, nil, unknown(cache, name, dirs)
		}
		add(&out, d.ContainerEdits)
		if s := d.GetSpec(); !seen[s] {
			seen[s] = true
			add(&out, s.ContainerEdits)
		}
	}
	if len(out.NetDevices) > 0 || out.IntelRdt != nil {
		return out, nil, fmt.Errorf("CDI devices %s: need what only root can give: a network interface, or cache allocation", strings.Join(devices, ", "))
	}
	out.DeviceNodes = slices.DeleteFunc(out.DeviceNodes, func(n *specs.DeviceNode) bool {
		_, err := os.Stat(HostPath(n))
		if err != nil {
			notices = append(notices, "a described device node is not there: "+err.Error())
		}
		return err != nil
	})
	if len(out.AdditionalGIDs) > 0 {
		notices = append(notices, fmt.Sprintf("the device is for groups %v of the host: to stay in yours add --group-add keep-groups", out.AdditionalGIDs))
	}
	return out, notices, nil
}

// read reads all descriptions. The library does not survive one with a null in a
// list.
func read(dirs []string) (c *cdi.Cache, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = problem.Hint(fmt.Errorf("read CDI descriptions: one is damaged: %v", v), "look at the files in %s", strings.Join(dirs, ", "))
		}
	}()
	c, err = cdi.NewCache(cdi.WithSpecDirs(dirs...), cdi.WithAutoRefresh(false))
	if err != nil {
		return nil, fmt.Errorf("read CDI descriptions: %w", err)
	}
	return c, nil
}

// HostPath is where the host has a node.
func HostPath(n *specs.DeviceNode) string {
	if n.HostPath != "" {
		return n.HostPath
	}
	return n.Path
}

func add(to *specs.ContainerEdits, e specs.ContainerEdits) {
	to.Env = append(to.Env, e.Env...)
	to.DeviceNodes = append(to.DeviceNodes, e.DeviceNodes...)
	to.NetDevices = append(to.NetDevices, e.NetDevices...)
	to.Hooks = append(to.Hooks, e.Hooks...)
	to.Mounts = append(to.Mounts, e.Mounts...)
	to.AdditionalGIDs = append(to.AdditionalGIDs, e.AdditionalGIDs...)
	if e.IntelRdt != nil {
		to.IntelRdt = e.IntelRdt
	}
}

// qualify puts the vendor before a GPU of any: the first by name that has some.
func qualify(c *cdi.Cache, name string) string {
	if !strings.HasPrefix(name, anyGPU) {
		return name
	}
	for _, have := range c.ListDevices() {
		if kind, _, ok := strings.Cut(have, "="); ok && strings.HasSuffix(kind, "/gpu") {
			return strings.TrimSuffix(kind, "gpu") + name
		}
	}
	return name
}

func unknown(c *cdi.Cache, name string, dirs []string) error {
	err := fmt.Errorf("%s: %w", name, ErrUnknown)
	have := c.ListDevices()
	errs := c.GetErrors()
	switch files := make([]string, 0, len(errs)); {
	case len(have) > 0:
		return problem.Hint(err, "this host has %s", strings.Join(have, ", "))
	case len(errs) > 0:
		for f := range errs {
			files = append(files, f)
		}
		sort.Strings(files)
		return problem.Hint(err, "a description is damaged: %s: %v", files[0], errors.Join(errs[files[0]]...))
	case strings.HasPrefix(name, anyGPU) || strings.HasPrefix(name, "nvidia.com/"):
		return problem.Hint(err, "describe your GPUs first: nvidia-ctk cdi generate --output %s", filepath.Join(dirs[len(dirs)-1], "nvidia.yaml"))
	}
	return problem.Hint(err, "descriptions are read from %s", strings.Join(dirs, ", "))
}
