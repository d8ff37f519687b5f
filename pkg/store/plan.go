package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
)

// Limits of an image. Podman takes 4 MiB for a manifest and a configuration too.
const (
	maxLayers   = 1000
	maxMetadata = 4 << 20
)

// imagePlan is what storing an image comes to.
type imagePlan struct {
	id       string // hex digest of the configuration
	config   []byte
	file     *v1.ConfigFile
	manifest []byte
	digest   digest.Digest // of the manifest
	layers   []layerPlan
}

// layerPlan is one layer of it, bottom first.
type layerPlan struct {
	id     string // in the store
	parent string // "" for the first
	diffID digest.Digest
	blob   digest.Digest // as the manifest has it
	size   int64         // of the blob, -1 if not known
	layer  v1.Layer
}

// planImage reads everything about img but its layers, and checks it.
func planImage(img v1.Image) (*imagePlan, error) {
	p := &imagePlan{}
	var err error
	if p.config, err = img.RawConfigFile(); err != nil {
		return nil, fmt.Errorf("read image configuration: %w", err)
	}
	if p.manifest, err = img.RawManifest(); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if err := p.checkMetadata(img); err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("read layers: %w", err)
	}
	diffIDs := p.file.RootFS.DiffIDs
	if len(layers) != len(diffIDs) {
		return nil, fmt.Errorf("image has %d layers, but its configuration names %d", len(layers), len(diffIDs))
	}
	if len(layers) > maxLayers {
		return nil, fmt.Errorf("image has %d layers; at most %d work", len(layers), maxLayers)
	}
	parent := ""
	for i, l := range layers {
		lp, err := planLayer(l, digest.Digest(diffIDs[i].String()), parent)
		if err != nil {
			return nil, fmt.Errorf("layer %d of %d: %w", i+1, len(layers), err)
		}
		p.layers = append(p.layers, lp)
		parent = lp.id
	}
	return p, nil
}

func (p *imagePlan) checkMetadata(img v1.Image) error {
	for name, data := range map[string][]byte{"configuration": p.config, "manifest": p.manifest} {
		if len(data) > maxMetadata {
			return fmt.Errorf("image %s has %d bytes; at most %d are taken", name, len(data), maxMetadata)
		}
	}
	m, err := img.Manifest()
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	if err := checkManifest(p.manifest); err != nil {
		return err
	}
	id := digest.FromBytes(p.config)
	if want := m.Config.Digest.String(); id.String() != want {
		return fmt.Errorf("image configuration has digest %s, but the manifest says %s", id, want)
	}
	p.id, p.digest = id.Encoded(), digest.FromBytes(p.manifest)
	p.file = &v1.ConfigFile{}
	if err := json.Unmarshal(p.config, p.file); err != nil {
		return fmt.Errorf("read image configuration: %w", err)
	}
	return checkEnv(p.file.Config.Env)
}

// checkManifest refuses a manifest that can be read as an index as well: then
// which image it names depends on the reader (CVE-2021-41190).
func checkManifest(raw []byte) error {
	var m struct {
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	if len(m.Manifests) > 0 {
		return errors.New("manifest lists both layers and other manifests")
	}
	return nil
}

// checkEnv refuses variables without a value: elsewhere such an entry means "take
// it from the caller's environment" (CVE-2026-57231).
func checkEnv(env []string) error {
	for _, e := range env {
		if i := strings.IndexByte(e, '='); i <= 0 {
			return fmt.Errorf("image configuration: environment entry %q is not KEY=VALUE", e)
		}
		if strings.IndexByte(e, 0) >= 0 {
			return fmt.Errorf("image configuration: environment entry %q holds a NUL byte", e)
		}
	}
	return nil
}

func planLayer(l v1.Layer, diffID digest.Digest, parent string) (layerPlan, error) {
	if err := diffID.Validate(); err != nil {
		return layerPlan{}, fmt.Errorf("digest %q in the image configuration: %w", diffID, err)
	}
	if diffID.Algorithm() != digest.SHA256 {
		return layerPlan{}, fmt.Errorf("digest %q in the image configuration: only sha256 is known", diffID)
	}
	blob, err := l.Digest()
	if err != nil {
		return layerPlan{}, err
	}
	size, err := l.Size()
	if err != nil {
		size = -1
	}
	return layerPlan{
		id: chainID(parent, diffID), parent: parent,
		diffID: diffID, blob: digest.Digest(blob.String()), size: size, layer: l,
	}, nil
}

// chainID is the id that containers/image gives the layer diffID on top of the
// layer parent.
func chainID(parent string, diffID digest.Digest) string {
	if parent == "" {
		return diffID.Encoded()
	}
	return digest.FromString(parent + "+" + diffID.Encoded()).Encoded()
}
