// Package state remembers containers between the calls of the OCI runtime
// command line.
//
// Theory of operation: a container is a directory. What was decided when it was
// made is in files; what it is doing is asked of the kernel each time, so that
// no file can be wrong about it:
//
//	config.json  the spec as it was at create
//	state.json   pid and start time of init, the boot, bundle
//	start        socket on which init waits to be started
//	lock         held by init, through an inherited descriptor, until execve
//
// Init runs while a process of that pid and start time exists in this boot. It
// is "created" while the lock is held and "running" after.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/oci/bundle"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/statefile"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// Store is a directory of containers.
type Store struct{ Dir string }

// Container is one entry of a Store.
type Container struct {
	ID  string
	dir string
}

// Record is what is decided at create.
type Record struct {
	ID        string    `json:"id"`
	Bundle    string    `json:"bundle"`
	Pid       int       `json:"pid"`
	StartTime uint64    `json:"startTime"` // clock ticks since boot (proc_pid_stat(5), field 22)
	BootID    string    `json:"bootID"`
	Created   time.Time `json:"created"`
	NoProcess bool      `json:"noProcess,omitempty"` // config.json has none
	Cgroup    string    `json:"cgroup,omitempty"`    // directory of its control group
	OwnCgroup bool      `json:"ownCgroup,omitempty"` // it was made for the container
}

// Paused is the status of a container whose processes stand still; the runtime spec
// leaves such names to runtimes.
const Paused specs.ContainerState = "paused"

// ErrNotFound is an id that no container has.
var ErrNotFound = errors.New("no such container")

const maxID = 255 // a file name

// CheckID accepts what can be a directory's name and can't be mistaken for an
// option: letters, digits and +-_. and not a dot or dash first.
func CheckID(id string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-_."
	switch {
	case id == "":
		return errors.New("container id: empty")
	case len(id) > maxID:
		return fmt.Errorf("container id: longer than %d characters", maxID)
	case strings.Trim(id, allowed) != "" || strings.IndexFunc(id, func(r rune) bool { return !strings.ContainsRune(allowed, r) }) >= 0,
		id[0] == '.', id[0] == '-':
		return fmt.Errorf("container id %q: want letters, digits and + _ . -, beginning with a letter or digit", id)
	}
	return nil
}

// Create reserves id and stores the spec. The returned lock is held; whoever
// inherits the descriptor holds it too.
func (s Store) Create(id string, spec *specs.Spec) (c *Container, lock *os.File, err error) {
	if err := CheckID(id); err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, nil, err
	}
	c = &Container{ID: id, dir: filepath.Join(s.Dir, id)}
	err = os.Mkdir(c.dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil, problem.Hint(fmt.Errorf("container %s: exists already", id), "run: nook oci delete --force %s", id)
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Remove())
		}
	}()
	lock, err = os.OpenFile(c.file("lock"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, err
	}
	if err := kern.TryLock(int(lock.Fd())); err != nil {
		lock.Close()
		return nil, nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if err := writeNew(c.file("config.json"), spec); err != nil {
		lock.Close()
		return nil, nil, err
	}
	return c, lock, nil
}

// Open finds a container.
func (s Store) Open(id string) (*Container, error) {
	if err := CheckID(id); err != nil {
		return nil, err
	}
	c := &Container{ID: id, dir: filepath.Join(s.Dir, id)}
	if _, err := os.Lstat(c.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("container %s: %w", id, ErrNotFound)
	} else if err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Container) file(name string) string { return filepath.Join(c.dir, name) }

// writeNew writes a file that is not there yet. It is of this boot only, so
// nothing is synced.
func writeNew(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// Save records what became of create. The identity of pid is taken from the
// kernel.
func (c *Container) Save(r Record) error {
	id, err := kern.Identify(r.Pid)
	if err != nil {
		return fmt.Errorf("identify container init: %w", err)
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	r.ID, r.StartTime, r.BootID = c.ID, id.StartTime, boot
	return statefile.Write(c.file("state.json"), r)
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}

// Spec returns the spec the container was made from.
func (c *Container) Spec() (*specs.Spec, error) { return bundle.Read(c.file("config.json")) }

// Record returns what create decided, the zero Record where create has not
// finished.
func (c *Container) Record() (Record, error) {
	var r Record
	data, err := os.ReadFile(c.file("state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("read %s: %w", c.file("state.json"), err)
	}
	return r, nil
}

// Status asks what the container is doing.
func (c *Container) Status() (Record, specs.ContainerState, error) {
	r, err := c.Record()
	if err != nil {
		return r, "", err
	}
	held, err := c.lockHeld()
	if err != nil {
		return r, "", err
	}
	switch {
	case r.Pid == 0 && held:
		return r, specs.StateCreating, nil
	case r.Pid == 0:
		return r, specs.StateStopped, nil // create was killed
	}
	alive, err := r.Alive()
	switch {
	case err != nil:
		return r, "", err
	case !alive:
		return r, specs.StateStopped, nil
	case held:
		return r, specs.StateCreated, nil
	}
	if frozen, err := cgroups.Frozen(r.Cgroup); err == nil && frozen {
		return r, Paused, nil
	}
	return r, specs.StateRunning, nil
}

// ThisBoot reports whether what the record says of the kernel's objects is about
// those of now.
func (r Record) ThisBoot() bool {
	boot, err := bootID()
	return err == nil && boot == r.BootID
}

// Alive reports whether init is still that process, in this boot.
func (r Record) Alive() (bool, error) {
	boot, err := bootID()
	if err != nil || boot != r.BootID {
		return false, err
	}
	id, err := kern.Identify(r.Pid)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && id.StartTime == r.StartTime && !id.Dead, err
}

func (c *Container) lockHeld() (bool, error) {
	f, err := os.Open(c.file("lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() // releases what may have been taken: shared, so that two who ask don't see each other
	err = kern.TryShare(int(f.Fd()))
	if errors.Is(err, kern.ErrWouldBlock) {
		return true, nil
	}
	return false, err
}

// Listen makes the socket for Config.Gate.
func (c *Container) Listen() (*os.File, error) {
	dir, err := os.Open(c.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	// A socket's address has room for 107 bytes, fewer than a path may have.
	fd, err := kern.Listen(fmt.Sprintf("/proc/self/fd/%d/start", dir.Fd()))
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", c.file("start"), err)
	}
	return os.NewFile(uintptr(fd), c.file("start")), nil
}

// Dial connects to that socket.
func (c *Container) Dial() (*os.File, error) {
	dir, err := os.Open(c.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := kern.Dial(fmt.Sprintf("/proc/self/fd/%d/start", dir.Fd()))
	if err != nil {
		return nil, fmt.Errorf("connect to container %s: %w", c.ID, err)
	}
	return os.NewFile(uintptr(fd), c.file("start")), nil
}

// Remove forgets the container. The name is free at once.
func (c *Container) Remove() error { return os.RemoveAll(c.dir) }
