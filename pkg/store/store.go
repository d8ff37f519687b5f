// Package store keeps images and root file systems: containers/storage (module
// go.podman.io/storage) behind our vocabulary.
//
// # Theory of operation
//
// The format on disk is that of Podman, Buildah and Skopeo. An image's id is the
// digest of its configuration; its record names the top layer and carries the
// manifest and the configuration; a layer's id follows from the digests of the
// tar streams below it. So the same image has the same ids whoever stored it.
//
// Putting an image unpacks all missing layers at once, each into a staging
// directory, checks every digest, and only then commits: layers from the bottom
// up, then the image record. What is committed is durable before the next step
// names it (containers/storage's "sync" mode: syncfs before a layer counts as
// whole), and a record without its manifest, the last thing to be written, is no
// image: so neither a kill nor a power cut shows an image that lacks a part.
// What a killed process left in staging is collected by the next Open.
//
// A container's root is an overlay of its layer and those below it, mounted by
// this package and attached nowhere (see RootFS). containers/storage's own mounts
// and mount counts are not used. The layer is in a directory of the container's
// (own.go); containers/storage has it where it alone can make it: as a full copy
// (vfs), or with other owners (container.go).
//
// # Configuration
//
// Root and run root are ours to choose, so containers-storage.conf(5) decides
// neither them nor the driver. Of its other settings these count:
// additionalimagestores (read-only images of other stores) and
// ignore_chown_errors. mount_program does not: it was the answer to kernels
// before 5.13, and would make every container slow on later ones; give
// --storage-opt overlay.mount_program=PATH to want it. mountopt does not, since
// the mount options of a container's root are ours.
package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/sirupsen/logrus"
	"go.podman.io/storage"
	"go.podman.io/storage/types"

	"github.com/nook-containers/nook/pkg/problem"
)

// Errors to match with errors.Is.
var (
	ErrNotFound  = errors.New("no such image")
	ErrAmbiguous = errors.New("more than one image matches")
	ErrInUse     = errors.New("image is in use")
	ErrDamaged   = errors.New("the store is damaged")
)

// Options say where the store is.
type Options struct {
	Root    string   // graph root, absolute
	RunRoot string   // run root, absolute
	Driver  string   // overlay (default) or vfs
	Opts    []string // key=value, as containers-storage.conf(5) spells them; see Options in config.go
	// Debug receives the messages of containers/storage; nil: they are dropped.
	Debug io.Writer
	// Candidates returns the full names that a short one may stand for, best
	// first; nil: localhost and docker.io.
	Candidates func(name string) []string
	// MoreIDs is the command that makes a missing id exist in this user
	// namespace, "" if there is none; nil: nobody knows one.
	MoreIDs func(missing uint32) (string, error)
	// Notice is told what the user should know; nil: nobody.
	Notice func(string)
	// BootID tells boots apart; empty: the kernel's.
	BootID string
	// Users returns what containers/storage does not know: the ids of containers that
	// have their writable layers elsewhere, and of their images; nil: there are none.
	Users func() map[string]string
	// Changed hears that an image, by its id, got or lost a name, or is gone, name
	// being one that it had; nil: nobody does.
	Changed func(what Change, id, name string)
}

// Change is what happened to an image.
type Change string

// Changes, in the words of podman-events(1).
const (
	Tagged   Change = "tag"
	Untagged Change = "untag"
	Removed  Change = "remove"
)

func (s *Store) tell(what Change, id string, names ...string) {
	if s.o.Changed == nil {
		return
	}
	for _, n := range names {
		s.o.Changed(what, id, n)
	}
}

// Store is an open image store. It works only inside the user namespace. Its
// methods may be called by several goroutines.
type Store struct {
	o    Options
	cfg  config
	boot string

	mu    sync.Mutex
	st    storage.Store
	syncs bool // st makes layers durable before they count
}

// Open opens the store, making it if it is not there.
func Open(o Options) (*Store, error) {
	for _, dir := range []string{o.Root, o.RunRoot} {
		if !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("open store: %q is not an absolute path", dir)
		}
	}
	cfg, err := planConfig(o.Driver, o.Opts)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	quietLog(o.Debug)
	s := &Store{o: o, cfg: cfg}
	if err := s.makeRoots(); err != nil {
		return nil, err
	}
	if err := s.withSpace(s.start); err != nil {
		return nil, s.openError(err)
	}
	if err := s.keepReserve(); err != nil {
		return nil, s.openError(err)
	}
	s.collectStaging()
	return s, nil
}

// start opens containers/storage, and cleans up if this boot has not done it yet.
func (s *Store) start() (err error) {
	if s.boot = s.o.BootID; s.boot == "" {
		if s.boot, err = kernelBootID(); err != nil {
			return err
		}
	}
	if !s.firstOpen() {
		return s.open()
	}
	if err := s.dropUnsynced(); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	return s.collectBoot()
}

// quietLog sends containers/storage's log, which otherwise goes to standard
// error, where it belongs.
func quietLog(w io.Writer) {
	if w == nil {
		logrus.SetOutput(io.Discard)
		logrus.SetLevel(logrus.PanicLevel)
		return
	}
	logrus.SetOutput(w)
	logrus.SetLevel(logrus.DebugLevel)
}

// makeRoots makes both directories for their owner only: a layer holds set-user-ID
// files of other people's making.
func (s *Store) makeRoots() error {
	for _, dir := range []string{s.o.Root, s.o.RunRoot} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return s.openError(err)
		}
		fi, err := os.Stat(dir)
		if err != nil {
			return s.openError(err)
		}
		if fi.Mode().Perm()&0o077 == 0 {
			continue
		}
		// Podman's graph root is 0700 too; a directory that is not gets it only
		// while it is empty, else it may be somebody's home.
		if entries, err := os.ReadDir(dir); err == nil && len(entries) == 0 {
			if err := os.Chmod(dir, 0o700); err != nil {
				return s.openError(err)
			}
		}
	}
	return nil
}

// open attaches to containers/storage, with further options.
func (s *Store) open(more ...string) error {
	driver, opts, err := s.cfg.storageOptions()
	if err != nil {
		return err
	}
	st, err := storage.GetStore(types.StoreOptions{
		GraphRoot: s.o.Root, RunRoot: s.o.RunRoot,
		GraphDriverName: driver, GraphDriverOptions: append(opts, more...),
	})
	if err != nil {
		return err
	}
	s.st, s.syncs = st, len(more) > 0
	return nil
}

// synced returns the store in the mode that makes layers durable before they
// count. Starting a container does not need it, and must not wait for the writes
// of everything else on the file system; storing an image does.
func (s *Store) synced() (storage.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.syncs && s.cfg.driver == "overlay" { // vfs does not understand the option it documents
		s.st.Free()
		if err := s.open("overlay.sync=filesystem"); err != nil {
			return nil, s.openError(err)
		}
	}
	return s.st, nil
}

func (s *Store) storage() storage.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st
}

func (s *Store) openError(err error) error {
	err = fmt.Errorf("open store %s: %w", s.o.Root, err)
	switch {
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return problem.Hint(err, "give a directory that you own and can write to: nook --root DIR --runroot DIR …")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return problem.Hint(err, "the file system is full; free some space on it: df -h %s", s.o.Root)
	case strings.Contains(err.Error(), "storage.conf"):
		return problem.Hint(err, "see containers-storage.conf(5), or run with: env CONTAINERS_STORAGE_CONF=/dev/null nook …")
	}
	return err
}

// Close gives the store back; images and containers stay.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st.Free()
	return nil
}

// Root is the graph root.
func (s *Store) Root() string { return s.o.Root }

// RunRoot is the run root.
func (s *Store) RunRoot() string { return s.o.RunRoot }

// Driver is the name of the storage driver.
func (s *Store) Driver() string { return s.storage().GraphDriverName() }
