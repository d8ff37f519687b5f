package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/sys"
)

// openLive opens a file below /proc/PID of the container's first process, and of
// no other: the process must have the start time on record after the file is open
// too. It returns nil where the container does not run.
func openLive(c *state.Container, name string) (*os.File, error) {
	st, err := c.Status()
	if err != nil || !st.Alive() {
		return nil, err
	}
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(st.Run.PID), name))
	begun, berr := startTime(st.Run.PID)
	if berr != nil || begun != st.Run.PIDStart {
		if f != nil {
			f.Close()
		}
		return nil, nil //nolint:nilnil // it ended meanwhile
	}
	if err != nil {
		return nil, fmt.Errorf("look into %s: %w", c.Name, err)
	}
	return f, nil
}

// rootOf returns the container's root file system, without its volumes, as a
// detached mount: what a running container has, else one made now. The caller
// holds a container that does not run for as long as it uses the mount, so that no
// start mounts the same files a second time.
func (e *Engine) rootOf(c *state.Container) (*os.File, error) {
	ns, err := openLive(c, "ns/mnt")
	if err != nil {
		return nil, err
	}
	if ns == nil {
		root, err := e.rootFS(c)
		if err != nil {
			return nil, err
		}
		return root.Mount, nil
	}
	defer ns.Close()
	root, err := sys.CloneRootOf(ns)
	if err != nil {
		return nil, fmt.Errorf("look into %s: %w", c.Name, err)
	}
	return root, nil
}
