package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.podman.io/storage"

	"github.com/nook-containers/nook/pkg/problem"
)

// Tag gives the image further names, full ones with a tag. A name moves here
// from the image that had it.
func (s *Store) Tag(id string, names ...string) error {
	return s.withSpace(func() error {
		if err := s.storage().AddNames(id, names); err != nil {
			return fmt.Errorf("tag image %s: %w", short(id), known(err))
		}
		s.tell(Tagged, id, names...)
		return nil
	})
}

// Untag takes names away from the image, which stays even without any.
func (s *Store) Untag(id string, names ...string) error {
	return s.withSpace(func() error {
		if err := s.storage().RemoveNames(id, names); err != nil {
			return fmt.Errorf("untag image %s: %w", short(id), known(err))
		}
		s.tell(Untagged, id, names...)
		return nil
	})
}

// Remove deletes the image and those of its layers that nothing else needs. It
// fails with ErrInUse while a container is made of it.
func (s *Store) Remove(id string) error {
	return s.unleased(id, func() error { return s.withSpace(func() error { return s.deleteImage(id) }) })
}

func (s *Store) deleteImage(id string) error {
	users, err := s.Users(id)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return inUse(id, users)
	}
	var names []string
	if img, err := s.storage().Image(id); err == nil {
		names = img.Names
	}
	_, err = s.storage().DeleteImage(id, true)
	if errors.Is(err, storage.ErrImageUsedByContainer) {
		users, uerr := s.Users(id)
		if uerr != nil {
			return uerr
		}
		return inUse(id, users)
	}
	if err != nil {
		return fmt.Errorf("remove image %s: %w", short(id), known(err))
	}
	s.tell(Untagged, id, names...)
	s.tell(Removed, id, append(names, "")[0])
	return nil
}

func inUse(id string, users []string) error {
	brief := make([]string, 0, len(users))
	for _, u := range users {
		brief = append(brief, short(u))
	}
	return problem.Hint(fmt.Errorf("image %s: %w by container %s", short(id), ErrInUse, strings.Join(brief, ", ")),
		"run: nook rm -f %s", strings.Join(brief, " "))
}

// Users returns the ids of the containers that are made of the image.
func (s *Store) Users(id string) ([]string, error) {
	all, err := s.UsersByImage()
	if err != nil {
		return nil, err
	}
	users := all[id]
	slices.Sort(users)
	return users, nil
}

// UsersByImage returns, for every image that has any, the ids of its containers.
func (s *Store) UsersByImage() (map[string][]string, error) {
	containers, err := s.storage().Containers()
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	users := map[string][]string{}
	for _, c := range containers {
		users[c.ImageID] = append(users[c.ImageID], c.ID)
	}
	if s.o.Users == nil {
		return users, nil
	}
	for id, image := range s.o.Users() {
		if !slices.Contains(users[image], id) {
			users[image] = append(users[image], id)
		}
	}
	return users, nil
}

// known turns containers/storage's errors about an image into ours. Of an id that
// it does not know at all it says that there is no such layer.
func known(err error) error {
	if errors.Is(err, storage.ErrImageUnknown) || errors.Is(err, storage.ErrNotAnImage) || errors.Is(err, storage.ErrLayerUnknown) {
		return fmt.Errorf("%w (%w)", ErrNotFound, err)
	}
	return err
}
