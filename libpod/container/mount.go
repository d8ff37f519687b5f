package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/sys"
)

// Mounted is a container whose root file system shows in this process's mount
// namespace.
type Mounted struct {
	*state.Container
	Path string
}

// mountPoint is where Mount shows the root file system of c. The directory is
// made for it: nobody else looks at what is mounted there.
func mountPoint(c *state.Container) string { return filepath.Join(c.RunDir(), "merged") }

// Mount shows the root file system of c in this process's mount namespace, which
// must not be the host's, and returns the path. A second Mount changes nothing. A
// container without an image is its directory.
func (e *Engine) Mount(c *state.Container) (string, error) {
	if c.Spec.RootFS != "" {
		return c.Spec.RootFS, nil
	}
	path := mountPoint(c)
	there, err := mountedAt()
	if err != nil || there[path] {
		return path, err
	}
	if st, err := c.Status(); err != nil {
		return "", err
	} else if !st.Alive() {
		if err := c.Hold(); err != nil {
			return "", fmt.Errorf("mount: %w", err)
		}
		defer c.Release()
	}
	root, err := e.rootOf(c)
	if err != nil {
		return "", err
	}
	defer root.Close()
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("mount %s: %w", c.Name, err)
	}
	target, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("mount %s: %w", c.Name, err)
	}
	defer target.Close()
	if err := sys.Attach(root, target); err != nil {
		return path, err
	}
	events.Tell(c, events.Mount)
	return path, nil
}

// Unmount takes back what Mount showed. It reports false where there was nothing.
func (e *Engine) Unmount(c *state.Container) (bool, error) {
	path := mountPoint(c)
	was, err := sys.Unmount(path)
	if err == nil && was {
		err = os.Remove(path)
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		events.Tell(c, events.Unmount)
	}
	return was, err
}

// Mounted lists the containers that are mounted.
func (e *Engine) Mounted() ([]Mounted, []error) {
	there, err := mountedAt()
	if err != nil {
		return nil, []error{err}
	}
	all, errs := e.State.List()
	var out []Mounted
	for _, c := range all {
		if path := mountPoint(c); there[path] {
			out = append(out, Mounted{c, path})
		}
	}
	return out, errs
}

func mountedAt() (map[string]bool, error) {
	points, err := sys.MountPoints()
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool, len(points))
	for _, p := range points {
		there[p] = true
	}
	return there, nil
}
