package container

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	specs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/cdi"
	"github.com/nook-containers/nook/pkg/sys"
)

// describe finds what c needs for the devices that the host describes.
func (e *Engine) describe(c spec.Container) (*specs.ContainerEdits, error) {
	var names []string
	for _, d := range c.Devices {
		if !filepath.IsAbs(d.Source) {
			names = append(names, d.Source)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	edits, notices, err := cdi.Resolve(e.CDI, names)
	for _, n := range notices {
		e.Notice(n)
	}
	return &edits, err
}

// hostDevices lists the nodes in /dev that the user may open, for a privileged
// container. It has those that every container has of its own already.
func hostDevices() ([]string, error) {
	var out []string
	err := filepath.WalkDir("/dev", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path != "/dev":
			return nil // a directory that is closed to the user
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd"}, path):
			return fs.SkipDir
		case d.Type()&fs.ModeDevice == 0 || slices.Contains(ownNodes(), path):
			return nil
		}
		ok, err := sys.MayOpen(path)
		if ok {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for devices: %w", err)
	}
	return out, nil
}

// ownNodes are made by the runtime in every container (runtime-spec,
// config-linux.md, "Default Devices").
func ownNodes() []string {
	return []string{
		"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/console", "/dev/ptmx",
	}
}
