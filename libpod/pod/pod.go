// Package pod keeps pods: groups of containers that share namespaces.
//
// # Theory of operation
//
// A pod is a directory NAME with pod.json, which says what it is and is written
// once. It appears whole: Create fills .new-ID, holding a flock(2) on it, and
// renames that to NAME, which fails where the name is taken. Remove renames NAME to
// .gone-ID before anything of the pod is deleted, and deletes that directory last.
// So what a killed process leaves is a .new-ID or a .gone-ID that nobody holds, and
// Sweep finishes the work: every container of that pod goes, then the directory.
//
// Which containers are in a pod is in their records (spec.Container.Pod) and only
// there. Who makes one holds a shared flock on the pod's directory until the record
// is there (Hold), and Remove an exclusive one.
//
// What the containers share is held by one of them, the infra container: it has no
// image, and its process only waits. The others join its namespaces as they would
// join those of any container. It is started before the first of them; of several
// that start at once the lock on start.lock says which one does that. A pod's state
// is not written down: it follows from those of its containers.
//
// A container's monitor, which is as small as can be, imports this package.
package pod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/statefile"
	"github.com/nook-containers/nook/pkg/sys"
)

// Errors to match with errors.Is.
var (
	ErrNotFound  = errors.New("no such pod")
	ErrAmbiguous = errors.New("more than one pod has this id prefix")
	ErrExists    = errors.New("pod already exists")
)

const (
	recordFile = "pod.json"
	startLock  = "start.lock"
	newPrefix  = ".new-"
	gonePrefix = ".gone-"
	shortID    = 12
)

// Config is what a pod is: written once by Create.
type Config struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	InfraID string    `json:"infraID,omitempty"` // of the container that holds its namespaces
	Command []string  `json:"command,omitempty"` // that made it
	Spec    spec.Pod  `json:"spec"`
}

// Store is a directory of pods, and the containers that may be in them.
type Store struct {
	Dir        string
	Containers state.Store
}

// Of returns the pods that belong to a store of containers.
func Of(s state.Store) Store { return Store{filepath.Join(s.Dir, "pods"), s} }

// Pod is one of them.
type Pod struct {
	Config
	store Store
}

// Short returns the first 12 digits of the id.
func (p *Pod) Short() string { return p.ID[:min(len(p.ID), shortID)] }

// Containers is the store that the pod's containers are in.
func (p *Pod) Containers() state.Store { return p.store.Containers }

// Create makes a pod. fill makes what belongs to it, with the pod's id in its
// record; the pod is not to be seen before. Nothing is left of one that could not
// be made: where fill has failed it has cleaned up, else discard does.
func (s Store) Create(c Config, fill func() (discard func() error, err error)) (_ *Pod, err error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create pod %s: %w", c.Name, err)
	}
	final := filepath.Join(s.Dir, c.Name)
	if exists(final) {
		return nil, taken(c.Name)
	}
	dir := filepath.Join(s.Dir, newPrefix+c.ID)
	lock, err := begin(dir)
	if err != nil {
		return nil, fmt.Errorf("create pod %s: %w", c.Name, err)
	}
	defer lock.Close()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	c.Version = spec.Version
	if err := statefile.Write(filepath.Join(dir, recordFile), c); err != nil {
		return nil, fmt.Errorf("create pod %s: %w", c.Name, err)
	}
	discard, err := fill()
	if err != nil {
		return nil, err
	}
	// A directory with something in it is never replaced (rename(2)).
	if err := os.Rename(dir, final); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = taken(c.Name) // by another process, just now
		}
		return nil, errors.Join(err, discard())
	}
	return &Pod{c, s}, sys.SyncDir(s.Dir)
}

func taken(name string) error {
	return problem.Hint(fmt.Errorf("pod %s: %w", name, ErrExists), "run: nook pod rm %s, or choose another --name", name)
}

// begin makes a directory that Sweep takes for a living process's.
func begin(dir string) (*os.File, error) {
	for {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		lock, err := lockDir(dir, sys.TryLock)
		if err == nil {
			return lock, nil
		}
		// A sweeper saw it before it was locked.
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, sys.ErrLocked) {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Lookup finds a pod by name, id, or unambiguous id prefix. A name beats an id.
func (s Store) Lookup(nameOrID string) (*Pod, error) {
	if nameOrID != "" && !strings.ContainsRune(nameOrID, '/') && nameOrID[0] != '.' {
		if p, err := s.load(nameOrID); !errors.Is(err, ErrNotFound) {
			return p, err
		}
	}
	if nameOrID == "" || strings.Trim(nameOrID, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("%s: %w", nameOrID, ErrNotFound)
	}
	all, errs := s.List()
	all = slices.DeleteFunc(all, func(p *Pod) bool { return !strings.HasPrefix(p.ID, nameOrID) })
	switch {
	case len(all) == 1:
		return all[0], nil
	case len(all) > 1:
		return nil, fmt.Errorf("%s: %w", nameOrID, ErrAmbiguous)
	case len(errs) > 0: // it may be one of those that cannot be read
		return nil, errors.Join(errs...)
	}
	return nil, fmt.Errorf("%s: %w", nameOrID, ErrNotFound)
}

func (s Store) load(name string) (*Pod, error) {
	p := &Pod{store: s}
	err := statefile.Read(filepath.Join(s.Dir, name, recordFile), &p.Config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	return p, err
}

// List returns every pod, oldest first, and beside them one error for each record
// that cannot be read.
func (s Store) List() ([]*Pod, []error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, []error{fmt.Errorf("list pods: %w", err)}
	}
	var all []*Pod
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		p, err := s.load(e.Name())
		switch {
		case errors.Is(err, ErrNotFound): // removed meanwhile
		case err != nil:
			errs = append(errs, err)
		default:
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b *Pod) int { return a.Created.Compare(b.Created) })
	return all, errs
}

// Names maps the ids of all pods to their names. Damaged records are left out.
func (s Store) Names() map[string]string {
	all, _ := s.List()
	names := make(map[string]string, len(all))
	for _, p := range all {
		names[p.ID] = p.Name
	}
	return names
}
