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

	"github.com/nook-containers/nook/pkg/sys"
)

// held counts the containers, by id, whose monitor's role this process has. The lock
// is the process's, and closing any descriptor of its file would drop it (fcntl(2),
// "Advisory record locking"): who looks must know before.
var held sync.Map //nolint:gochecknoglobals // the lock is the process's too

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
// of lock, as who passed it on knew it.
func (s Store) Adopt(dir string, known Known, lock *os.File) *Container {
	c := &Container{Config: known.Config, seen: known.Seen, store: s, dir: dir}
	c.keep(lock)
	return c
}

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
