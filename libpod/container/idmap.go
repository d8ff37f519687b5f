package container

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/userns"
)

// idMaps plans the ids of a container's own user namespace, in terms of nook's
// shared one. A container that uses the shared namespace has none.
func idMaps(u spec.UserNS) (own userns.Map, err error) {
	if u.Mode == spec.UserNSHost {
		return userns.Map{}, nil
	}
	shared, err := userns.Current()
	if err != nil {
		return userns.Map{}, err
	}
	switch u.Mode {
	case spec.UserNSKeepID:
		uid, gid := keepIDs(u)
		return userns.KeepID(shared, uid, gid, u.Size)
	case spec.UserNSNoMap:
		return userns.NoMap(shared)
	case spec.UserNSAuto:
		return userns.Auto(shared, u.First, u.Size, mappings(u.UIDMap), mappings(u.GIDMap))
	case spec.UserNSCustom:
		return userns.Custom(shared, mappings(u.UIDMap), mappings(u.GIDMap))
	case spec.UserNSPath:
		return userns.Map{UIDs: extents(u.UIDMap), GIDs: extents(u.GIDMap)}, nil
	}
	return userns.Map{}, fmt.Errorf("user namespace mode %q: unknown", u.Mode)
}

func mappings(list []spec.IDMapping) []userns.Mapping {
	var out []userns.Mapping
	for _, m := range list {
		out = append(out, userns.Mapping{Inside: m.Inside, Outside: m.Outside, Size: m.Size, Host: m.Host, Extend: m.Extend})
	}
	return out
}

// keepIDs are the ids that keep-id gives the user inside.
func keepIDs(u spec.UserNS) (uid, gid uint32) {
	uid, gid = uint32(config.HostUID()), uint32(config.HostGID()) //nolint:gosec // ids
	if u.UID != nil {
		uid = *u.UID
	}
	if u.GID != nil {
		gid = *u.GID
	}
	return uid, gid
}

func ociMap(m []userns.Extent) []specs.LinuxIDMapping {
	var out []specs.LinuxIDMapping
	for _, e := range m {
		out = append(out, specs.LinuxIDMapping{ContainerID: e.Inside, HostID: e.Outside, Size: e.Size})
	}
	return out
}

func storeMap(m []userns.Extent) []store.IDMap {
	var out []store.IDMap
	for _, e := range m {
		out = append(out, store.IDMap{Inside: e.Inside, Outside: e.Outside, Size: e.Size})
	}
	return out
}

// maxID is the largest id in m.
func maxID(m []userns.Extent) uint32 {
	var top uint32
	for _, e := range m {
		top = max(top, e.Inside+e.Size-1)
	}
	return top
}
