package store

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

// ownerFile, in a staging directory, holds the pid of the process that fills it.
const ownerFile = "nook.pid"

// stagingAge is how old a staging directory must be before its lock tells
// anything: it is made a moment before it is locked.
const stagingAge = 10 * time.Second

// markStaging says that the staging directory is ours.
func markStaging(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, ownerFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.Itoa(os.Getpid()))
	return errors.Join(err, f.Close())
}

// collectStaging removes the staging directories of processes that are gone. It
// costs one failed readdir when there are none. Errors are left to the next
// Open: staging is nothing that anybody sees.
func (s *Store) collectStaging() {
	base := filepath.Join(s.o.Root, s.cfg.driver, "staging")
	entries, err := os.ReadDir(base)
	if err != nil {
		return
	}
	for _, e := range entries {
		dir := filepath.Join(base, e.Name())
		if fi, err := os.Stat(dir); err != nil || time.Since(fi.ModTime()) < stagingAge {
			continue
		}
		if !stagingHeld(dir) {
			_ = os.RemoveAll(dir)
		}
	}
}

// stagingHeld reports whether somebody works in the directory: its owner holds a
// record lock on its staging.lock (containers/storage, staging_lockfile). Our own
// locks do not show, and looking would drop them (sys.SetRecordLock), so the
// owner's pid is looked at first.
func stagingHeld(dir string) bool {
	if pid, err := os.ReadFile(filepath.Join(dir, ownerFile)); err == nil && string(pid) == strconv.Itoa(os.Getpid()) {
		return true
	}
	f, err := os.OpenFile(filepath.Join(dir, "staging.lock"), os.O_RDWR, 0)
	if err != nil {
		return false // its owner died before it made the lock, or after removing it
	}
	defer f.Close()
	pid, err := sys.RecordHolder(f)
	return err != nil || pid != 0
}
