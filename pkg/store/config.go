package store

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"go.podman.io/storage/types"

	"github.com/nook-containers/nook/pkg/problem"
)

// Values of the option nook.mount: how a container's root is put together.
const (
	mountAuto    = "auto" // the first that works
	mountOverlay = "overlay"
	mountFuse    = "fuse"
	mountCopy    = "copy"
)

// config is what driver and options come to.
type config struct {
	driver string
	opts   []string // for containers/storage, "overlay.key=value"
	mount  string   // nook.mount
	strict bool     // ignore_chown_errors=false: an image with ids that do not exist here is refused
	fuse   string   // overlay.mount_program
}

// optionNames are the options that --storage-opt takes, without driver. They
// are those of containers-storage.conf(5) that mean something for one
// unprivileged user; nook.mount is ours: auto, overlay, fuse or copy.
func optionNames() []string {
	return []string{"ignore_chown_errors", "imagestore", "additionalimagestore", "mount_program", "nook.mount"}
}

// planConfig checks what the user asked for.
func planConfig(driver string, opts []string) (config, error) {
	c := config{driver: driver, mount: mountAuto}
	switch driver {
	case "":
		c.driver = "overlay"
	case "overlay", "vfs":
	case "overlay2":
		c.driver = "overlay"
	default:
		return c, problem.Hint(fmt.Errorf("storage driver %q is not one of overlay and vfs", driver),
			"leave --storage-driver out, or use: --storage-driver overlay")
	}
	for _, opt := range opts {
		if err := c.add(opt); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (c *config) add(opt string) error {
	key, value, ok := strings.Cut(opt, "=")
	if !ok || value == "" {
		return fmt.Errorf("storage option %q is not KEY=VALUE", opt)
	}
	name, mine, err := c.optionName(key)
	if err != nil || !mine {
		return err
	}
	return c.set(opt, name, value)
}

// optionName takes the driver off an option's key. As in containers/storage, an
// option for the other driver is not ours.
func (c *config) optionName(key string) (name string, mine bool, err error) {
	driver, rest, ok := strings.Cut(key, ".")
	switch {
	case !ok || driver == "nook":
		return key, true, nil
	case driver == "overlay2":
		driver = "overlay"
	}
	if driver != "overlay" && driver != "vfs" {
		return "", false, fmt.Errorf("storage option %q is for a driver that there is not", key)
	}
	return rest, driver == c.driver, nil
}

func (c *config) set(opt, name, value string) error {
	switch name {
	case "nook.mount":
		if !slices.Contains([]string{mountAuto, mountOverlay, mountFuse, mountCopy}, value) {
			return fmt.Errorf("storage option %q: not one of auto, overlay, fuse and copy", opt)
		}
		c.mount = value
		return nil
	case "ignore_chown_errors":
		if value != "true" && value != "false" {
			return fmt.Errorf("storage option %q: not true or false", opt)
		}
		c.strict = value == "false"
	case "mount_program":
		if c.driver != "overlay" {
			return fmt.Errorf("storage option %q is for the driver overlay", opt)
		}
		c.fuse = value
	case "imagestore", "additionalimagestore":
	default:
		return problem.Hint(fmt.Errorf("unknown storage option %q", opt),
			"options that nook knows: %s", strings.Join(optionNames(), ", "))
	}
	c.opts = append(c.opts, c.driver+"."+name+"="+value)
	return nil
}

// storageOptions returns driver and options as containers/storage takes them,
// with what containers-storage.conf(5) adds.
func (c *config) storageOptions() (driver string, opts []string, err error) {
	def, err := types.DefaultStoreOptions()
	if err != nil {
		return "", nil, fmt.Errorf("read storage.conf: %w", err)
	}
	opts = slices.Clone(c.opts)
	for _, opt := range def.GraphDriverOptions {
		if keep := fromFile(opt); keep {
			opts = append(opts, opt)
		}
	}
	if c.driver == "overlay" {
		// Without it the driver mounts its directory onto itself.
		opts = append(opts, "overlay.skip_mount_home=true")
	}
	return c.driver, opts, nil
}

// fromFile decides about one option that storage.conf set.
func fromFile(opt string) (keep bool) {
	key, value, _ := strings.Cut(opt, "=")
	_, name, ok := strings.Cut(key, ".")
	if !ok {
		name = key
	}
	switch name {
	case "imagestore", "additionalimagestore":
		fi, err := os.Stat(value) // another tool's store that is gone is no reason to fail
		return err == nil && fi.IsDir()
	case "ignore_chown_errors":
		return true
	}
	return false
}
