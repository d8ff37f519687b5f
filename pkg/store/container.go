package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.podman.io/storage"
	"go.podman.io/storage/pkg/idtools"
	"go.podman.io/storage/types"

	"github.com/nook-containers/nook/pkg/problem"
)

// IDMap says that Size ids from Inside on, in the container, are the ids from
// Outside on in the user namespace that the store is used in.
type IDMap struct{ Inside, Outside, Size uint32 }

// ContainerOptions say what kind of container to make.
type ContainerOptions struct {
	// Volatile containers are never synced, and gone after a reboot.
	Volatile bool
	// UIDMap and GIDMap are for a container with a user namespace of its own
	// below the shared one. Files of the image then belong to the mapped ids. nil:
	// none.
	UIDMap, GIDMap []IDMap
	// Notice is told before something slow starts; nil: nobody.
	Notice func(string)
}

// flagMap is the flag of a container's record that holds its mount plan.
const flagMap = "nook.idmap"

// idMaps is what the flag holds: maps that fuse-overlayfs applies when the root
// is mounted. There is no flag where files on disk have the right owners.
type idMaps struct {
	UIDs []IDMap `json:"uids"`
	GIDs []IDMap `json:"gids"`
}

// CreateContainer has containers/storage make a writable layer on top of the image and
// a record that keeps the image from being removed. id is the container's, 64 hex
// digits. It returns the layer's directory, for ReadDirs.
func (s *Store) CreateContainer(id, imageID string, o ContainerOptions) (dir string, err error) {
	opts := &storage.ContainerOptions{
		Volatile:         o.Volatile,
		IDMappingOptions: types.IDMappingOptions{HostUIDMapping: true, HostGIDMapping: true},
		Flags:            map[string]any{},
	}
	if o.Volatile {
		opts.Flags[flagBoot] = s.boot
	}
	if len(o.UIDMap) > 0 || len(o.GIDMap) > 0 {
		if err := s.mapOwners(imageID, o, opts); err != nil {
			return "", fmt.Errorf("create container %s: %w", short(id), err)
		}
	}
	c, err := s.storage().CreateContainer(id, nil, imageID, "", "", opts)
	if err != nil {
		if !errors.Is(err, storage.ErrLayerUnknown) { // that is a damaged image
			err = known(err)
		}
		return "", s.full(fmt.Errorf("create container %s: %w", short(id), err))
	}
	if err := s.checkOwners(c); err != nil {
		return "", fmt.Errorf("create container %s: %w", short(id), errors.Join(err, s.DeleteContainer(id)))
	}
	dir = s.layerDir(c.LayerID)
	if o.Volatile {
		return dir, nil
	}
	if err := s.syncLayer(c.LayerID); err != nil {
		return "", fmt.Errorf("create container %s: %w", short(id), errors.Join(err, s.DeleteContainer(id)))
	}
	return dir, nil
}

// mapOwners decides how files come to belong to mapped ids: fuse-overlayfs shows
// them so, else containers/storage makes a copy of the image with other owners,
// once for each map.
func (s *Store) mapOwners(imageID string, o ContainerOptions, opts *storage.ContainerOptions) error {
	if len(o.UIDMap) == 0 || len(o.GIDMap) == 0 {
		return errors.New("maps of uids and gids come together")
	}
	if s.cfg.mount == mountAuto || s.cfg.mount == mountFuse {
		if _, ok := s.fuseProgram(); ok {
			flag, err := json.Marshal(idMaps{UIDs: o.UIDMap, GIDs: o.GIDMap})
			if err != nil {
				return err
			}
			opts.Flags[flagMap] = string(flag)
			return nil
		}
	}
	opts.IDMappingOptions = types.IDMappingOptions{UIDMap: toStorage(o.UIDMap), GIDMap: toStorage(o.GIDMap)}
	if o.Notice == nil {
		return nil
	}
	has, err := s.hasMapped(imageID, opts.IDMappingOptions)
	if err == nil && !has {
		o.Notice("copying the image for other owners of its files, once; install fuse-overlayfs to do without")
	}
	return err
}

// checkOwners makes sure that containers/storage changed owners on disk. Where the
// kernel maps them in a mount it would not, but only its own mounts do that; no
// file system that a user namespace can use does, except a tmpfs of its own.
func (s *Store) checkOwners(c *storage.Container) error {
	if len(c.UIDMap) == 0 {
		return nil
	}
	l, err := s.storage().Layer(c.LayerID)
	if err != nil {
		return err
	}
	if !slices.Equal(l.UIDMap, c.UIDMap) {
		return problem.Hint(errors.New("files cannot get other owners on this file system"), "install fuse-overlayfs, or keep the store elsewhere: nook --root DIR")
	}
	return nil
}

// hasMapped reports whether the image has a copy with these maps already.
func (s *Store) hasMapped(imageID string, want types.IDMappingOptions) (bool, error) {
	st := s.storage()
	img, err := st.Image(imageID)
	if err != nil {
		return false, known(err)
	}
	for _, id := range img.MappedTopLayers {
		l, err := st.Layer(id)
		if err == nil && slices.Equal(l.UIDMap, want.UIDMap) && slices.Equal(l.GIDMap, want.GIDMap) {
			return true, nil
		}
	}
	return false, nil
}

func toStorage(maps []IDMap) []idtools.IDMap {
	out := make([]idtools.IDMap, 0, len(maps))
	for _, m := range maps {
		out = append(out, idtools.IDMap{ContainerID: int(m.Inside), HostID: int(m.Outside), Size: int(m.Size)})
	}
	return out
}

// DeleteContainer removes the container's record and its writable layer. It is no
// error if there is none.
func (s *Store) DeleteContainer(id string) error {
	return s.withSpace(func() error {
		_, err := s.storage().Container(id)
		if err == nil {
			err = s.storage().DeleteContainer(id)
		}
		if errors.Is(err, storage.ErrContainerUnknown) || errors.Is(err, storage.ErrNotAContainer) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("delete container %s: %w", short(id), err)
		}
		return nil
	})
}

// Containers returns the ids of all containers and of the images they are of.
func (s *Store) Containers() (map[string]string, error) {
	all, err := s.storage().Containers()
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	out := make(map[string]string, len(all))
	for _, c := range all {
		out[c.ID] = c.ImageID
	}
	return out, nil
}

// ContainerRecord is what the store knows of a container, whoever made it.
type ContainerRecord struct {
	ID, Name           string
	ImageID, ImageName string // empty for one without an image
	Created            time.Time
}

// ContainerRecords lists all containers, newest first.
func (s *Store) ContainerRecords() ([]ContainerRecord, error) {
	st := s.storage()
	all, err := st.Containers()
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var out []ContainerRecord
	for _, c := range all {
		r := ContainerRecord{ID: c.ID, ImageID: c.ImageID, Created: c.Created}
		if len(c.Names) > 0 {
			r.Name = c.Names[0]
		}
		if img, err := st.Image(c.ImageID); err == nil && len(img.Names) > 0 {
			r.ImageName = img.Names[0]
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b ContainerRecord) int { return b.Created.Compare(a.Created) })
	return out, nil
}
