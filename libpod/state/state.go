// Package state keeps what is known about containers: one directory each, whose
// files only their owner writes, and names reserved by hard links. Readers take
// no lock and wait for nobody.
//
// # Theory of operation
//
// A container's directory appears whole: Create fills DIR/.new-ID and Commit
// renames it to DIR/ID, after linking names/NAME. Remove renames it to trash/ID
// first. Whatever a killed process leaves is therefore one of three things, each
// recognisable without a journal: a .new-ID or an ephemeral container whose
// monitor.lock nobody holds, a trash/ID, or a name that points at no container.
// Sweep collects them.
//
// "Running" is never written down. The process that looks after a container, its
// monitor, holds a record lock on monitor.lock from before the container's first
// process exists until its end is on disk; the kernel drops the lock with the
// process. run.json only says since when, and how it ended.
//
// Containers of "run --rm" are ephemeral: they live in a directory of their own,
// are not synced, and are garbage as soon as no monitor holds them.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/statefile"
	"github.com/nook-containers/nook/pkg/sys"
)

var (
	// ErrNotFound means no container has this name or id.
	ErrNotFound = errors.New("no such container")
	// ErrAmbiguous means an id prefix fits several containers.
	ErrAmbiguous = errors.New("more than one container has this id prefix")
	// ErrNameTaken means another container has the name.
	ErrNameTaken = errors.New("name is already in use")
	// ErrRunning means a monitor holds the container.
	ErrRunning = errors.New("container is running")
)

const (
	configFile  = "config.json"
	runFile     = "run.json"
	lockFile    = "monitor.lock"
	newPrefix   = ".new-"
	bornPrefix  = ".born-" // not yet locked
	containers  = "containers"
	ephemeral   = "ephemeral"
	names       = "names"
	trash       = "trash"
	shortID     = 12
	lockNewFile = 0o600
)

// Config is what a container is: written once by Create.
type Config struct {
	Version     int              `json:"version"`
	ID          string           `json:"id"`
	Name        string           `json:"name"`
	Created     time.Time        `json:"created"`
	ImageID     string           `json:"imageID,omitempty"`     // config digest, hex
	ImageName   string           `json:"imageName,omitempty"`   // as resolved, fully qualified
	ImageDigest string           `json:"imageDigest,omitempty"` // of its manifest
	Driver      string           `json:"driver,omitempty"`      // of the store that its image is in; empty with a root directory
	Layer       string           `json:"layer,omitempty"`       // directory of its writable layer in the store; empty where it keeps that itself, or the driver is vfs
	Below       string           `json:"below,omitempty"`       // directory of its image's top layer, where it keeps its own itself
	Command     []string         `json:"command"`               // entrypoint and arguments after the image's defaults
	Spec        spec.Container   `json:"spec"`
	Image       spec.ImageConfig `json:"image,omitzero"` // what the image adds
}

// Run is one run of a container. Finished is zero while it lasts, and stays zero
// when the monitor died before it could write.
type Run struct {
	Version  int       `json:"version"`
	Boot     string    `json:"boot"`     // boot id (random(4))
	PID      int       `json:"pid"`      // first process, as the host sees it
	PIDStart uint64    `json:"pidStart"` // its start in clock ticks since boot (proc_pid_stat(5))
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
	ExitCode int       `json:"exitCode"`
	Restarts int       `json:"restarts,omitempty"` // how often its monitor has started it again
	// Initialized says that the command has yet to run; Started is meaningless then.
	Initialized bool   `json:"initialized,omitempty"`
	Again       bool   `json:"again,omitempty"`  // it has ended, and its monitor is about to start it again
	Error       string `json:"error,omitempty"`  // why it could not run, or ended without a record
	Cgroup      string `json:"cgroup,omitempty"` // directory of its control group, if it has one
	// Runtime is the path of the OCI runtime that started it; empty: our own.
	Runtime string `json:"runtime,omitempty"`
	// EffectiveCaps are the capabilities that its command was given.
	EffectiveCaps []string `json:"effectiveCaps,omitempty"`
	// OOMKilled says that the kernel killed a process of it for want of memory.
	OOMKilled bool `json:"oomKilled,omitempty"`
	// Ports are those that are published, each on its own, with the host's ports.
	Ports []spec.Port `json:"ports,omitempty"`
}

// Store is a directory of containers.
type Store struct {
	Dir string // durable root
	Run string // root of this boot's files: sockets, generated files
	// Realm is that of this process's user namespace (userns.Realm), "" for the
	// user's. It is part of the names of what cannot be shared between namespaces.
	Realm string `json:",omitempty"`
}

// Known is the record of a container, as it was when it was read or written.
type Known struct {
	Config
	Seen Seen
}

// Seen tells a file from another of its name; zero: unknown.
type Seen struct {
	Inode uint64
	Size  int64
	Time  int64 // of its last change, in nanoseconds
}

func seen(fi os.FileInfo) Seen {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return Seen{}
	}
	return Seen{st.Ino, st.Size, st.Ctim.Nano()}
}

// Known returns what c knows of its record.
func (c *Container) Known() Known { return Known{c.Config, c.seen} }

// Container is one container found in the store.
type Container struct {
	Config
	seen  Seen // file of that Config, if it is known
	store Store
	dir   string
	lock  *os.File // held by this process, or nil
}

// Dir returns the container's durable directory.
func (c *Container) Dir() string { return c.dir }

// RunDir returns the container's directory for this boot. It need not exist.
func (c *Container) RunDir() string { return filepath.Join(c.store.Run, containers, c.ID) }

// Ephemeral reports whether the container ends with its monitor.
func (c *Container) Ephemeral() bool {
	return filepath.Base(filepath.Dir(c.dir)) == ephemeral
}

// KeepsLayer reports whether the writable layer of c is in Dir, and goes with it. It is
// in the store's own root otherwise.
func (c *Container) KeepsLayer() bool {
	return c.ImageID != "" && c.Layer == "" && c.Driver == "overlay"
}

func (s Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.Dir}, parts...)...)
}

// Create reserves cfg.ID and, as its monitor, returns the container unseen by
// others. Commit makes it visible, Discard forgets it.
func (s Store) Create(cfg Config) (*Container, error) { return s.create(cfg, containers) }

// CreateEphemeral is Create for a container that Sweep removes when its monitor
// is gone.
func (s Store) CreateEphemeral(cfg Config) (*Container, error) { return s.create(cfg, ephemeral) }

func (s Store) create(cfg Config, kind string) (*Container, error) {
	for _, d := range []string{kind, names, trash} {
		if err := os.MkdirAll(s.path(d), 0o700); err != nil {
			return nil, fmt.Errorf("create state directory: %w", err)
		}
	}
	c := &Container{Config: cfg, store: s}
	c.Version = spec.Version
	for {
		err := c.bear(kind)
		if err == nil {
			return c, nil
		}
		// A sweeper took the fresh directory for an orphan before it was locked.
		if !errors.Is(err, ErrRunning) && !errors.Is(err, ErrNotFound) && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("create container: %w", err)
		}
	}
}

// bear makes the directory of c. It gets a name that means c only when it is locked:
// what has the name of a container and no owner is swept with all that is the
// container's.
func (c *Container) bear(kind string) error {
	dir, err := os.MkdirTemp(c.store.path(kind), bornPrefix)
	if err != nil {
		return err
	}
	c.dir = dir
	err = c.Hold()
	if err == nil {
		c.dir = c.store.path(kind, newPrefix+c.ID)
		err = os.Rename(dir, c.dir)
	}
	if err != nil {
		c.Release()
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

// Commit writes the record and gives it its name; from here every command sees
// the container.
func (c *Container) Commit() error {
	if err := c.writeConfig(c.Config); err != nil {
		return err
	}
	if err := c.store.reserve(c.Name, c.ID); err != nil {
		return err
	}
	final := filepath.Join(filepath.Dir(c.dir), c.ID)
	if err := os.Rename(c.dir, final); err != nil {
		return errors.Join(fmt.Errorf("commit container: %w", err), os.Remove(c.store.path(names, c.Name)))
	}
	c.dir = final
	if c.Ephemeral() {
		return nil
	}
	return sys.SyncDir(filepath.Dir(final))
}

// Discard removes a container that was not committed.
func (c *Container) Discard() error {
	c.Release()
	return os.RemoveAll(c.dir)
}

// Store returns the store that c is in.
func (c *Container) Store() Store { return c.store }

// WriteRun records r. Only the monitor calls it.
func (c *Container) WriteRun(r Run) error {
	r.Version = spec.Version
	write := statefile.Write
	if c.Ephemeral() {
		write = statefile.WriteVolatile
	}
	if err := write(filepath.Join(c.dir, runFile), r); err != nil {
		return fmt.Errorf("write run record: %w", err)
	}
	return nil
}

// LastRun returns the latest run; ok is false if the container never started.
func (c *Container) LastRun() (r Run, ok bool, err error) {
	err = statefile.Read(filepath.Join(c.dir, runFile), &r)
	if errors.Is(err, fs.ErrNotExist) {
		return Run{}, false, nil
	}
	return r, err == nil, err
}

// Change changes the record of c, also while it runs, and no change is lost to
// another that is made at the same time. f must not change the name.
func (c *Container) Change(f func(*Config) error) error {
	dir, err := os.Open(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", c.Name, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("change container: %w", err)
	}
	defer dir.Close()
	if err := sys.Lock(dir); err != nil {
		return err
	}
	if err := c.Reload(); err != nil {
		return err
	}
	c.seen = Seen{} // until the file says the same
	if err := f(&c.Config); err != nil {
		return err
	}
	return c.writeConfig(c.Config)
}

// Reload reads the record again if others have changed it.
func (c *Container) Reload() error {
	there := Seen{}
	if fi, err := os.Stat(filepath.Join(c.dir, configFile)); err == nil {
		there = seen(fi)
	}
	if there != (Seen{}) && c.seen == there {
		return nil
	}
	now, err := c.store.load(filepath.Base(filepath.Dir(c.dir)), filepath.Base(c.dir))
	if err == nil {
		c.Config, c.seen = now.Config, there
	}
	return err
}

func (c *Container) writeConfig(cfg Config) error {
	write := statefile.Write
	if c.Ephemeral() {
		write = statefile.WriteVolatile
	}
	if err := write(filepath.Join(c.dir, configFile), cfg); err != nil {
		return fmt.Errorf("write container record: %w", err)
	}
	c.seen = Seen{}
	if fi, err := os.Stat(filepath.Join(c.dir, configFile)); err == nil {
		c.seen = seen(fi)
	}
	return nil
}
