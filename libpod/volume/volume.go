// Package volume keeps volumes: directories for containers that outlive them.
//
// # Theory of operation
//
// A volume is a directory NAME with volume.json, which says what it is and is
// written once, and _data, its files. It appears whole: Create fills .new-RANDOM,
// holding a flock(2) on it, and renames that to NAME. Remove renames NAME to
// .gone-RANDOM before it deletes anything. So what a killed process leaves has a
// name that no volume can have, and Sweep deletes it where nobody holds it.
//
// Which containers use a volume is not written down here. The containers'
// records say it, and the caller of Remove asks them. A container in the making
// has no record yet: its maker holds a shared flock on the volume's directory
// (Hold), and Remove wants an exclusive one.
//
// A new volume has a file "fresh" until the first container mounts it. That one
// fills it (First); the file says "filling" meanwhile, so that what a killed
// process copied half is known not to be anybody's data.
//
// Anonymous volumes go with the container that they were made for (see Own).
//
// A container's monitor, which is as small as can be, imports this package.
package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/statefile"
	"github.com/nook-containers/nook/pkg/sys"
)

// Errors to match with errors.Is.
var (
	ErrNotFound = errors.New("no such volume")
	ErrExists   = errors.New("volume already exists")
	ErrInUse    = errors.New("volume is in use")
)

// Local is the only driver.
const Local = "local"

const (
	recordFile = "volume.json"
	dataDir    = "_data"
	freshFile  = "fresh"
	newPrefix  = ".new-"
	gonePrefix = ".gone-"
)

// Config is what a volume is: written once by Create.
type Config struct {
	Version   int               `json:"version"`
	Name      string            `json:"name"`
	Driver    string            `json:"driver"` // Local
	Created   time.Time         `json:"created"`
	Labels    map[string]string `json:"labels,omitempty"`
	Options   map[string]string `json:"options,omitempty"` // see Backing
	Anonymous bool              `json:"anonymous,omitempty"`
}

// Store is a directory of volumes.
type Store struct{ Dir string }

// Volume is one of them.
type Volume struct {
	Config
	dir     string
	backing Backing
}

// Mountpoint is the directory on the host with the volume's files, "" if it has
// none there.
func (v *Volume) Mountpoint() string {
	switch v.backing.Kind {
	case Bind:
		return v.backing.Device
	case Tmpfs:
		return ""
	}
	return filepath.Join(v.dir, dataDir)
}

// Backing says where the volume's files are.
func (v *Volume) Backing() Backing { return v.backing }

// Fresh reports whether no container has mounted the volume yet.
func (v *Volume) Fresh() bool {
	_, err := os.Lstat(filepath.Join(v.dir, freshFile))
	return err == nil
}

// unique ends the name of a directory that is a volume no more, or not yet.
func unique() string { return strconv.FormatUint(rand.Uint64(), 36) } //nolint:gosec // not a secret

// Durability says whether a new volume must survive a power cut.
type Durability bool

// Values of Durability.
const (
	Durable  Durability = true
	Volatile Durability = false
)

// Create makes a volume. Owners in its options are set only by a process in the
// user's namespace. It returns ErrExists where one of the name is there.
func (s Store) Create(c Config, d Durability) (*Volume, error) {
	if !spec.ValidName(c.Name) {
		return nil, fmt.Errorf("volume name %q: use 1 to %d letters, digits, '_', '.' and '-', starting with a letter or digit", c.Name, spec.MaxName)
	}
	if c.Driver == "" {
		c.Driver = Local
	}
	if c.Driver != Local {
		return nil, problem.Hint(fmt.Errorf("volume %s: driver %q: there is only %s", c.Name, c.Driver, Local), "leave --driver out")
	}
	backing, err := ParseOptions(c.Options)
	if err != nil {
		return nil, fmt.Errorf("volume %s: %w", c.Name, err)
	}
	c.Version = spec.Version
	final := filepath.Join(s.Dir, c.Name)
	if exists(final) {
		return nil, taken(c.Name)
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create volume %s: %w", c.Name, err)
	}
	dir, lock, err := s.begin()
	if err != nil {
		return nil, fmt.Errorf("create volume %s: %w", c.Name, err)
	}
	defer lock.Close()
	err = fill(dir, c, backing, d)
	if err == nil {
		// A directory with something in it is never replaced (rename(2)).
		err = os.Rename(dir, final)
	}
	if err != nil {
		err = errors.Join(err, os.RemoveAll(dir))
		if errors.Is(err, fs.ErrExist) {
			return nil, taken(c.Name) // by another process, just now
		}
		return nil, fmt.Errorf("create volume %s: %w", c.Name, err)
	}
	v := &Volume{Config: c, dir: final, backing: backing}
	s.tell(events.Create, c)
	if d == Volatile {
		return v, nil
	}
	return v, sys.SyncDir(s.Dir)
}

func taken(name string) error {
	return problem.Hint(fmt.Errorf("volume %s: %w", name, ErrExists), "run: nook volume inspect %s", name)
}

// begin makes a directory that Sweep takes for a living process's.
func (s Store) begin() (dir string, lock *os.File, err error) {
	for {
		dir = filepath.Join(s.Dir, newPrefix+unique())
		if err := os.Mkdir(dir, 0o700); err != nil {
			return "", nil, err
		}
		lock, err := lockDir(dir, sys.TryLock)
		if err == nil {
			return dir, lock, nil
		}
		// A sweeper saw it before it was locked.
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, sys.ErrLocked) {
			return "", nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
}

func fill(dir string, c Config, b Backing, d Durability) error {
	data := filepath.Join(dir, dataDir)
	if err := os.Mkdir(data, 0o755); err != nil {
		return err
	}
	// Whatever the umask: containers have other users.
	if err := os.Chmod(data, 0o755); err != nil {
		return err
	}
	if b.Kind == Directory {
		if b.UID != nil || b.GID != nil {
			if err := os.Lchown(data, idOr(b.UID), idOr(b.GID)); err != nil {
				return fmt.Errorf("set owner: %w", err)
			}
		}
		if err := statefile.CreateExclusive(filepath.Join(dir, freshFile), nil); err != nil {
			return err
		}
	}
	if d == Volatile {
		return statefile.WriteVolatile(filepath.Join(dir, recordFile), c)
	}
	return statefile.Write(filepath.Join(dir, recordFile), c)
}

// idOr is the id, or what chown(2) leaves alone.
func idOr(id *uint32) int {
	if id == nil {
		return -1
	}
	return int(*id)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Get finds a volume by its name.
func (s Store) Get(name string) (*Volume, error) {
	if !spec.ValidName(name) {
		return nil, fmt.Errorf("volume %s: %w", name, ErrNotFound)
	}
	v := &Volume{dir: filepath.Join(s.Dir, name)}
	err := statefile.Read(filepath.Join(v.dir, recordFile), &v.Config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("volume %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if v.backing, err = ParseOptions(v.Options); err != nil {
		return nil, fmt.Errorf("volume %s: %w", name, err)
	}
	return v, nil
}

// List returns every volume by name, and beside them one error for each that
// cannot be read.
func (s Store) List() ([]*Volume, []error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, []error{fmt.Errorf("list volumes: %w", err)}
	}
	var all []*Volume
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		v, err := s.Get(e.Name())
		switch {
		case errors.Is(err, ErrNotFound): // removed meanwhile
		case err != nil:
			errs = append(errs, err)
		default:
			all = append(all, v)
		}
	}
	return all, errs
}

// Hold keeps the volume from being removed until the result is closed.
func (s Store) Hold(name string) (*os.File, error) {
	return lockDir(filepath.Join(s.Dir, name), sys.LockShared)
}

// lockDir locks a directory that must still have this path then.
func lockDir(dir string, lock func(*os.File) error) (*os.File, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("volume %s: %w", filepath.Base(dir), ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, err
	}
	mine, err := f.Stat()
	if now, lerr := os.Lstat(dir); err != nil || lerr != nil || !os.SameFile(mine, now) {
		f.Close()
		return nil, fmt.Errorf("volume %s: %w", filepath.Base(dir), ErrNotFound)
	}
	return f, nil
}

// Remove deletes a volume and its files, for which it takes the user's namespace.
// unused, called while no container can be made with the volume, says by an error
// that it must stay.
func (s Store) Remove(name string, unused func() error) error {
	gone, err := s.hide(name, unused)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove volume %s: %w", name, err)
	}
	return nil
}

// hide is the half of Remove that others see. What is left is found by Sweep.
func (s Store) hide(name string, unused func() error) (gone string, err error) {
	if !spec.ValidName(name) {
		return "", fmt.Errorf("volume %s: %w", name, ErrNotFound)
	}
	dir := filepath.Join(s.Dir, name)
	lock, err := lockDir(dir, sys.TryLock)
	if errors.Is(err, sys.ErrLocked) {
		return "", fmt.Errorf("volume %s: %w: a container is being made with it, or it is being removed", name, ErrInUse)
	}
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unused(); err != nil {
		return "", err
	}
	was := Config{Name: name}
	if v, err := s.Get(name); err == nil { // a damaged one is removed too
		was = v.Config
	}
	gone = filepath.Join(s.Dir, gonePrefix+unique())
	if err := os.Rename(dir, gone); err != nil {
		return "", fmt.Errorf("remove volume %s: %w", name, err)
	}
	s.tell(events.Remove, was)
	return gone, nil
}

// tell has the log of events tell that action happened to a volume. It is no
// failure that it cannot.
func (s Store) tell(action string, c Config) {
	e := events.Event{Time: time.Now(), Type: events.Volume, Action: action, Name: c.Name, Attributes: c.Labels}
	_ = s.log().Append(e)
}

// Pruned tells that unused volumes were removed, each of which is told too.
func (s Store) Pruned() {
	_ = s.log().Append(events.Event{Time: time.Now(), Type: events.Volume, Action: events.Prune})
}

// Sweep deletes what killed processes left. It is quick when there is nothing.
func (s Store) Sweep() error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		return !strings.HasPrefix(e.Name(), newPrefix) && !strings.HasPrefix(e.Name(), gonePrefix)
	}) {
		dir := filepath.Join(s.Dir, e.Name())
		lock, err := lockDir(dir, sys.TryLock)
		if err != nil {
			continue // its maker or remover is at work, or just ended
		}
		errs = append(errs, os.RemoveAll(dir), lock.Close())
	}
	return errors.Join(errs...)
}
