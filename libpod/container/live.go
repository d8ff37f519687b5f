package container

import (
	"fmt"
	"os"

	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/sys"
)

// rootOf returns the container's root file system, without its volumes, as a
// detached mount: what a running container has, else one made now. The caller
// holds a container that does not run for as long as it uses the mount, so that no
// start mounts the same files a second time.
func (e *Engine) rootOf(c *state.Container) (*os.File, error) {
	ns, err := c.OpenLive("ns/mnt")
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
