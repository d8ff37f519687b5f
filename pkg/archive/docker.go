package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// dockerEntry is one image in the manifest.json of "docker save" (moby,
// image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset Format").
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

const dockerManifest = "manifest.json"

// dockerImages reads an archive of "docker save".
func dockerImages(m members, raw []byte) ([]Found, error) {
	var entries []dockerEntry
	if err := json.Unmarshal(raw, &entries); err != nil {
		return nil, fmt.Errorf("%s: %w", dockerManifest, err)
	}
	if len(entries) == 0 {
		return nil, errors.New("the archive holds no image")
	}
	found := make([]Found, 0, len(entries))
	for _, e := range entries {
		img, err := dockerImage(m, e)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", strings.Join(e.RepoTags, ", "), err)
		}
		found = append(found, Found{Image: img, Names: e.RepoTags})
	}
	return found, nil
}

func dockerImage(m members, e dockerEntry) (v1.Image, error) {
	config, err := readJSON(m, e.Config)
	if err != nil {
		return nil, err
	}
	if err := checkNamedDigest(e.Config, config); err != nil {
		return nil, err
	}
	file, err := parseConfig(config)
	if err != nil {
		return nil, err
	}
	if len(e.Layers) != len(file.RootFS.DiffIDs) {
		return nil, fmt.Errorf("%s lists %d layers, but the image configuration %d", dockerManifest, len(e.Layers), len(file.RootFS.DiffIDs))
	}
	layers := make([]v1.Layer, 0, len(e.Layers))
	for i, name := range e.Layers {
		size, err := tarSize(m, name)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", name, err)
		}
		diffID := file.RootFS.DiffIDs[i]
		layers = append(layers, &rawLayer{memberLayer{
			from: m, name: name, diffID: diffID, blob: diffID, size: size, media: types.DockerLayer,
		}})
	}
	manifest, err := madeManifest(config, layers)
	if err != nil {
		return nil, err
	}
	return &image{manifest: manifest, config: config, layers: layers, media: types.DockerManifestSchema2}, nil
}

// checkNamedDigest compares a member with the digest that its name claims, where
// it claims one.
func checkNamedDigest(name string, data []byte) error {
	base := strings.TrimSuffix(path.Base(name), ".json")
	want := digest.NewDigestFromEncoded(digest.SHA256, base)
	if want.Validate() != nil {
		return nil //nolint:nilerr // the name is no digest
	}
	if got := digest.FromBytes(data); got != want {
		return fmt.Errorf("%s has digest %s", name, got)
	}
	return nil
}

// tarSize returns the size of a layer's tar stream.
func tarSize(m members, name string) (int64, error) {
	r, size, err := m.open(name)
	if errors.Is(err, os.ErrNotExist) {
		return 0, errors.New("the archive lacks it")
	}
	if err != nil {
		return 0, err
	}
	defer r.Close()
	head := make([]byte, magicLen)
	if n, _ := io.ReadFull(r, head); Detect(head[:n]) == None {
		return size, nil
	}
	z, err := (&rawLayer{memberLayer{from: m, name: name}}).Uncompressed()
	if err != nil {
		return 0, err
	}
	defer z.Close()
	return io.Copy(io.Discard, z)
}
