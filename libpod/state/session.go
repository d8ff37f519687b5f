package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/sys"
)

const (
	sessions      = "exec"
	sessionSuffix = ".json"
)

// Session is one command that was started in a running container.
type Session struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Command []string  `json:"command"`
	User    string    `json:"user,omitempty"` // as asked for; empty: the container's
	TTY     bool      `json:"tty,omitempty"`
	Started time.Time `json:"started"`
}

// HeldSession is a session that lasts until its Close, or until this process ends.
type HeldSession struct{ file *os.File }

// HoldSession records a session of c. The record counts as long as this process
// holds the lock on it: it needs no cleaning up after a crash. Left-overs of
// killed processes go on the way.
func (c *Container) HoldSession(s Session) (*HeldSession, error) {
	dir := filepath.Join(c.RunDir(), sessions)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("record exec session: %w", err)
	}
	if err := sweepSessions(dir); err != nil {
		return nil, err
	}
	s.Version = spec.Version
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("record exec session: %w", err)
	}
	for {
		f, err := os.OpenFile(filepath.Join(dir, s.ID+sessionSuffix), os.O_CREATE|os.O_EXCL|os.O_RDWR, lockNewFile)
		if err != nil {
			return nil, fmt.Errorf("record exec session: %w", err)
		}
		err = sys.SetRecordLock(f, true)
		mine, serr := f.Stat()
		if errors.Is(err, sys.ErrLocked) || err == nil && serr == nil && !sameAs(mine, f.Name()) {
			f.Close() // a sweeper took it for an orphan before it was locked
			if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("record exec session: %w", err)
			}
			continue
		}
		if err = errors.Join(err, serr); err == nil {
			_, err = f.Write(append(data, '\n'))
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("record exec session: %w", err), (&HeldSession{f}).Close())
		}
		return &HeldSession{f}, nil
	}
}

// Close ends the session. Nil is a session that was not recorded.
func (h *HeldSession) Close() error {
	if h == nil {
		return nil
	}
	err := os.Remove(h.file.Name())
	if errors.Is(err, fs.ErrNotExist) { // the container was removed meanwhile
		err = nil
	}
	return errors.Join(err, h.file.Close())
}

// Sessions returns the ids of the live sessions of c, sorted. A process must not
// ask while it holds one itself.
func (c *Container) Sessions() ([]string, error) {
	var ids []string
	err := eachSession(filepath.Join(c.RunDir(), sessions), func(id string, f *os.File) error {
		holder, err := sys.RecordHolder(f)
		if err == nil && holder != 0 {
			ids = append(ids, id)
		}
		return err
	})
	slices.Sort(ids)
	return ids, err
}

func sweepSessions(dir string) error {
	return eachSession(dir, func(_ string, f *os.File) error {
		err := sys.SetRecordLock(f, true)
		if errors.Is(err, sys.ErrLocked) {
			return nil
		}
		if err == nil {
			err = os.Remove(f.Name())
		}
		if errors.Is(err, fs.ErrNotExist) { // another sweeper's
			err = nil
		}
		return err
	})
}

func eachSession(dir string, do func(id string, f *os.File) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list exec sessions: %w", err)
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), sessionSuffix)
		if !ok {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, e.Name()), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just ended
		}
		if err != nil {
			return fmt.Errorf("list exec sessions: %w", err)
		}
		err = do(id, f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
