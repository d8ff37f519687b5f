package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nook-containers/nook/pkg/statefile"
)

// Exists reports whether there is a container of that id.
func (s Store) Exists(id string) bool {
	return exists(s.path(containers, filepath.Base(id))) || exists(s.path(ephemeral, filepath.Base(id)))
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
	return s.list(func(string, string) bool { return true })
}

// Mentioning is List for those containers in whose records text is, as another's id. It
// takes a fraction of the time, since reading a record is most of it.
func (s Store) Mentioning(text string) ([]*Container, []error) {
	return s.list(func(kind, id string) bool {
		data, err := os.ReadFile(s.path(kind, id, configFile))
		return err != nil || bytes.Contains(data, []byte(text))
	})
}

func (s Store) list(want func(kind, id string) bool) ([]*Container, []error) {
	var all []*Container
	var errs []error
	for _, kind := range []string{containers, ephemeral} {
		ids, err := s.ids(kind)
		if err != nil {
			errs = append(errs, err)
		}
		for _, id := range ids {
			if !want(kind, id) {
				continue
			}
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

// Images returns the ids of all containers that are made of an image, and of those
// images. One whose record is damaged is made of none, nor is one that should have gone
// with its monitor.
func (s Store) Images() map[string]string {
	all, _ := s.List()
	images := make(map[string]string, len(all))
	for _, c := range all {
		if c.ImageID == "" {
			continue
		}
		if c.Ephemeral() {
			if pid, err := c.Monitor(); err == nil && pid == 0 {
				continue
			}
		}
		images[c.ID] = c.ImageID
	}
	return images
}
