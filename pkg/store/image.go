package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"
)

// Image is an image of the store.
type Image struct {
	ID          string   // hex digest of the configuration, no prefix
	Names       []string // full names with tag
	OldNames    []string // that it had once
	RepoDigests []string // repository@digest
	Digest      string   // of the manifest
	Digests     []string // of all its manifests
	TopLayer    string   // "" for an image without layers
	Layers      []string // ids in the store, TopLayer first
	LayerSizes  []int64  // bytes of each, unpacked
	Created     time.Time
	Size        int64 // bytes: its layers unpacked, and its metadata
	ReadOnly    bool  // in a store that is only read
	st          storage.Store
	rec         storage.Image
}

// Config returns the image's configuration.
func (i *Image) Config() (*v1.ConfigFile, error) {
	raw, err := i.RawConfig()
	if err != nil {
		return nil, err
	}
	c := &v1.ConfigFile{}
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, fmt.Errorf("image %s: %w: configuration: %w", short(i.ID), ErrDamaged, err)
	}
	return c, nil
}

// RawConfig returns the configuration as it is stored.
func (i *Image) RawConfig() ([]byte, error) {
	raw, err := i.st.ImageBigData(i.ID, "sha256:"+i.ID)
	if err != nil {
		return nil, fmt.Errorf("image %s: read configuration: %w", short(i.ID), err)
	}
	return raw, nil
}

// RawManifest returns the manifest the image was stored with last.
func (i *Image) RawManifest() ([]byte, error) {
	raw, err := i.st.ImageBigData(i.ID, storage.ImageDigestBigDataKey)
	if err != nil {
		return nil, fmt.Errorf("image %s: read manifest: %w", short(i.ID), err)
	}
	return raw, nil
}

// Images returns all images, newest first.
func (s *Store) Images() ([]Image, error) {
	st := s.storage()
	all, err := st.MultiList(storage.MultiListOptions{Images: true, Layers: true})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	layers := make(map[string]*storage.Layer, len(all.Layers))
	for i := range all.Layers {
		layers[all.Layers[i].ID] = &all.Layers[i]
	}
	seen := make(map[string]bool, len(all.Images))
	var images []Image
	for _, rec := range all.Images {
		if !seen[rec.ID] && whole(&rec) { // the first is the one in our own store
			seen[rec.ID] = true
			images = append(images, newImage(st, rec, layers))
		}
	}
	slices.SortStableFunc(images, func(a, b Image) int { return b.Created.Compare(a.Created) })
	return images, nil
}

func newImage(st storage.Store, rec storage.Image, layers map[string]*storage.Layer) Image {
	img := Image{
		ID: rec.ID, Names: rec.Names, OldNames: rec.NamesHistory, Digest: rec.Digest.String(),
		TopLayer: rec.TopLayer, Created: rec.Created, ReadOnly: rec.ReadOnly,
		Size: imageSize(rec, layers), st: st, rec: rec,
	}
	for l := layers[rec.TopLayer]; l != nil && len(img.Layers) <= maxLayers; l = layers[l.Parent] {
		img.Layers, img.LayerSizes = append(img.Layers, l.ID), append(img.LayerSizes, max(l.UncompressedSize, 0))
	}
	if img.Digest == "" {
		img.Digest = rec.BigDataDigests[storage.ImageDigestBigDataKey].String()
	}
	for _, d := range rec.Digests {
		img.Digests = append(img.Digests, d.String())
	}
	img.RepoDigests = repoDigests(rec.Names, rec.Digests)
	return img
}

// imageSize is what "podman images" shows: every layer's tar stream, once, and
// the metadata.
func imageSize(rec storage.Image, layers map[string]*storage.Layer) int64 {
	var size int64
	seen := map[string]bool{}
	for _, id := range append([]string{rec.TopLayer}, rec.MappedTopLayers...) {
		for l := layers[id]; l != nil && !seen[l.ID]; l = layers[l.Parent] {
			seen[l.ID] = true
			size += max(l.UncompressedSize, 0)
		}
	}
	for _, n := range rec.BigDataSizes {
		size += n
	}
	return size
}

func repoDigests(names []string, digests []digest.Digest) []string {
	var out []string
	for _, name := range names {
		repo, _ := SplitName(name)
		for _, d := range digests {
			if rd := repo + "@" + d.String(); !slices.Contains(out, rd) {
				out = append(out, rd)
			}
		}
	}
	slices.Sort(out)
	return out
}

// SplitName splits a full name into repository and tag or, after "@", digest. The
// second is "" where there is neither.
func SplitName(name string) (repo, tag string) {
	if repo, dgst, ok := strings.Cut(name, "@"); ok {
		if i := tagColon(repo); i >= 0 {
			repo = repo[:i]
		}
		return repo, dgst
	}
	if i := tagColon(name); i >= 0 {
		return name[:i], name[i+1:]
	}
	return name, ""
}

// tagColon finds the colon before a tag; the one before a port has a slash
// somewhere after it.
func tagColon(name string) int {
	i := strings.LastIndexByte(name, ':')
	if strings.ContainsRune(name[i+1:], '/') {
		return -1
	}
	return i
}
