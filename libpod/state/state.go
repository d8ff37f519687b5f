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
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/problem"
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
	Driver      string           `json:"driver,omitempty"`      // of the store, which keeps its files; empty with a root directory
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

// held counts the containers, by id, whose monitor's role this process has. The lock
// is the process's, and closing any descriptor of its file would drop it (fcntl(2),
// "Advisory record locking"): who looks must know before.
var held sync.Map //nolint:gochecknoglobals // the lock is the process's too

// Store is a directory of containers.
type Store struct {
	Dir string // durable root
	Run string // root of this boot's files: sockets, generated files
	// Realm is that of this process's user namespace (userns.Realm), "" for the
	// user's. It is part of the names of what cannot be shared between namespaces.
	Realm string `json:",omitempty"`
}

// Container is one container found in the store.
type Container struct {
	Config
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

// Hold makes this process the container's monitor. It returns ErrRunning if
// another process is.
func (c *Container) Hold() error { return c.hold(os.O_CREATE | os.O_RDWR) }

func (c *Container) hold(flags int) error {
	f, err := os.OpenFile(filepath.Join(c.dir, lockFile), flags, lockNewFile)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", c.Name, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("open monitor lock: %w", err)
	}
	if err := c.lockAlone(f); err != nil {
		f.Close()
		return err
	}
	if mine, err := f.Stat(); err != nil || !sameAs(mine, f.Name()) {
		f.Close() // removed between open and lock
		return fmt.Errorf("%s: %w", c.Name, ErrNotFound)
	}
	c.keep(f)
	return nil
}

// keep makes f, which is locked, c's lock.
func (c *Container) keep(f *os.File) {
	c.lock = f
	held.Store(c.ID, nil)
}

// lockAlone takes the monitor's lock. Those who wait for its former holder to go
// have it for a moment, shared, and do not count.
func (c *Container) lockAlone(f *os.File) error {
	for {
		err := sys.SetRecordLock(f, true)
		if !errors.Is(err, sys.ErrLocked) {
			return err
		}
		owner, err := sys.RecordOwner(f)
		if err != nil {
			return err
		}
		if owner != 0 {
			return fmt.Errorf("%s: %w", c.Name, ErrRunning)
		}
		runtime.Gosched()
	}
}

func sameAs(fi os.FileInfo, path string) bool {
	now, err := os.Lstat(path)
	return err == nil && os.SameFile(fi, now)
}

// Release gives the monitor's role up.
func (c *Container) Release() {
	if c.lock != nil {
		held.Delete(c.ID)
		c.lock.Close()
		c.lock = nil
	}
}

// PassOn lets the monitor's role survive the execve that the caller is about to
// do, and returns the number of the descriptor that stands for it.
func (c *Container) PassOn() (fd int, err error) {
	if c.lock == nil {
		return -1, fmt.Errorf("%s: not held", c.Name)
	}
	fd = int(c.lock.Fd()) //nolint:gosec // a descriptor
	return fd, sys.SetCloseOnExec(fd, false)
}

// Adopt is the other end of PassOn: the container in directory dir, held by way
// of lock.
func (s Store) Adopt(dir string, lock *os.File) (*Container, error) {
	c, err := s.load(filepath.Base(filepath.Dir(dir)), filepath.Base(dir))
	if err != nil {
		return nil, err
	}
	c.keep(lock)
	return c, nil
}

// Store returns the store that c is in.
func (c *Container) Store() Store { return c.store }

// Monitor returns the pid of the process that looks after the container, 0 if
// none does: then the container does not run.
func (c *Container) Monitor() (int, error) {
	if _, mine := held.Load(c.id()); c.lock != nil || mine {
		return os.Getpid(), nil
	}
	f, err := os.OpenFile(filepath.Join(c.dir, lockFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open monitor lock: %w", err)
	}
	defer f.Close()
	return sys.RecordOwner(f)
}

// id is c's, also where only its directory is known.
func (c *Container) id() string {
	if c.ID != "" {
		return c.ID
	}
	return strings.TrimPrefix(filepath.Base(c.dir), newPrefix)
}

// Watched reports whether a process looks after the container of that id; there need
// not be one.
func (s Store) Watched(id string) (bool, error) {
	for _, kind := range []string{containers, ephemeral} {
		c := &Container{dir: s.path(kind, filepath.Base(id))}
		if pid, err := c.Monitor(); err != nil || pid != 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// Exists reports whether there is a container of that id.
func (s Store) Exists(id string) bool {
	return exists(s.path(containers, filepath.Base(id))) || exists(s.path(ephemeral, filepath.Base(id)))
}

// AwaitMonitor waits until no process looks after the container.
func (c *Container) AwaitMonitor() error {
	f, err := os.OpenFile(filepath.Join(c.dir, lockFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open monitor lock: %w", err)
	}
	defer f.Close()
	return sys.WaitRecordLock(f, false)
}

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

// reserve links names/NAME to id, taking over a name whose container is gone.
func (s Store) reserve(name, id string) error {
	path := s.path(names, name)
	for range 3 {
		err := statefile.CreateExclusive(path, []byte(id))
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("reserve name: %w", err)
		}
		owner, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read name: %w", err)
		}
		if !s.abandoned(name, string(owner)) {
			return problem.Hint(fmt.Errorf("container %s: %w by %s", name, ErrNameTaken, short(string(owner))),
				"run: nook rm %s, or choose another --name", name)
		}
		if err := s.unlinkName(name, string(owner)); err != nil {
			return err
		}
	}
	return fmt.Errorf("container %s: %w", name, ErrNameTaken)
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
	if err := f(&c.Config); err != nil {
		return err
	}
	return c.writeConfig(c.Config)
}

// Reload reads the record again: others may have changed it.
func (c *Container) Reload() error {
	now, err := c.store.load(filepath.Base(filepath.Dir(c.dir)), filepath.Base(c.dir))
	if err == nil {
		c.Config = now.Config
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
	return nil
}

// Rename gives c another name, also while it runs. Killed in between, it leaves
// one name that leads to the container and one that is free.
func (c *Container) Rename(name string) error {
	if name == c.Name {
		return fmt.Errorf("container %s: %w by itself", name, ErrNameTaken)
	}
	if err := c.store.reserve(name, c.ID); err != nil {
		return err
	}
	old := ""
	err := c.Change(func(cfg *Config) error {
		old, cfg.Name = cfg.Name, name
		return nil
	})
	if err != nil {
		return errors.Join(err, c.store.unlinkName(name, c.ID))
	}
	return c.store.unlinkName(old, c.ID)
}

// unlinkName removes the name if it still points at id, which its caller found
// gone. The lock keeps two cleaners from removing the name of a third process
// that took it in between.
func (s Store) unlinkName(name, id string) error {
	lock, err := os.OpenFile(s.path(names, ".lock"), os.O_CREATE|os.O_RDWR, lockNewFile)
	if err != nil {
		return fmt.Errorf("lock names: %w", err)
	}
	defer lock.Close()
	if err := sys.Lock(lock); err != nil {
		return err
	}
	path := s.path(names, name)
	if now, err := os.ReadFile(path); err != nil || string(now) != id {
		return nil // someone else dealt with it
	}
	return os.Remove(path)
}

// abandoned reports whether no container id of that name exists, finished or in
// the making.
func (s Store) abandoned(name, id string) bool {
	if c, err := s.byID(id); err == nil {
		return c.Name != name // a rename was killed before or after it changed the record
	}
	for _, kind := range []string{containers, ephemeral} {
		if exists(s.path(kind, id)) {
			return false
		}
		making := &Container{dir: s.path(kind, newPrefix+id)}
		if exists(making.dir) {
			if pid, err := making.Monitor(); err != nil || pid != 0 {
				return false
			}
		}
	}
	// A rename from .new-ID to ID may have passed between the two looks.
	return !exists(s.path(containers, id)) && !exists(s.path(ephemeral, id))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func short(id string) string { return id[:min(len(id), shortID)] }

// Short returns the first 12 digits of the id.
func (c *Container) Short() string { return short(c.ID) }

// load reads one container. A directory that vanished is ErrNotFound.
func (s Store) load(kind, id string) (*Container, error) {
	c := &Container{store: s, dir: s.path(kind, id)}
	err := statefile.Read(filepath.Join(c.dir, configFile), &c.Config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", id, ErrNotFound)
	}
	return c, err
}

// Lookup finds a container by name, id, or unambiguous id prefix. A name beats
// an id.
func (s Store) Lookup(nameOrID string) (*Container, error) {
	if id, err := os.ReadFile(s.path(names, filepath.Base(nameOrID))); err == nil && !strings.ContainsRune(nameOrID, '/') {
		if c, err := s.byID(string(id)); err == nil && c.Name == nameOrID {
			return c, nil
		}
	}
	if nameOrID == "" || strings.Trim(nameOrID, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("%s: %w", nameOrID, ErrNotFound)
	}
	found := ""
	for _, kind := range []string{containers, ephemeral} {
		ids, err := s.ids(kind)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if !strings.HasPrefix(id, nameOrID) {
				continue
			}
			if found != "" {
				return nil, fmt.Errorf("%s: %w", nameOrID, ErrAmbiguous)
			}
			found = id
		}
	}
	if found == "" {
		return nil, fmt.Errorf("%s: %w", nameOrID, ErrNotFound)
	}
	return s.byID(found)
}

// Get finds a container by its whole id.
func (s Store) Get(id string) (*Container, error) { return s.byID(filepath.Base(id)) }

func (s Store) byID(id string) (*Container, error) {
	c, err := s.load(containers, id)
	if errors.Is(err, ErrNotFound) {
		return s.load(ephemeral, id)
	}
	return c, err
}

func (s Store) ids(kind string) ([]string, error) {
	entries, err := os.ReadDir(s.path(kind))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// List returns every container, oldest first, and beside them one error for each
// record that cannot be read: damage to one never hides the rest.
func (s Store) List() ([]*Container, []error) {
	var all []*Container
	var errs []error
	for _, kind := range []string{containers, ephemeral} {
		ids, err := s.ids(kind)
		if err != nil {
			errs = append(errs, err)
		}
		for _, id := range ids {
			c, err := s.load(kind, id)
			switch {
			case errors.Is(err, ErrNotFound):
			case err != nil:
				errs = append(errs, err)
			default:
				all = append(all, c)
			}
		}
	}
	sortByCreated(all)
	return all, errs
}
