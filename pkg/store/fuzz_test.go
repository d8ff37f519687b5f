package store

import (
	"bytes"
	"encoding/json"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
)

// paperImage is an image of nothing but its metadata.
type paperImage struct {
	v1.Image
	config, manifest []byte
}

func (p paperImage) RawConfigFile() ([]byte, error) { return p.config, nil }
func (p paperImage) RawManifest() ([]byte, error)   { return p.manifest, nil }
func (p paperImage) Manifest() (*v1.Manifest, error) {
	return v1.ParseManifest(bytes.NewReader(p.manifest))
}

func (p paperImage) Layers() ([]v1.Layer, error) {
	m, err := p.Manifest()
	if err != nil {
		return nil, err
	}
	layers := make([]v1.Layer, len(m.Layers))
	for i, d := range m.Layers {
		layers[i] = paperLayer{desc: d}
	}
	return layers, nil
}

type paperLayer struct {
	v1.Layer
	desc v1.Descriptor
}

func (l paperLayer) Digest() (v1.Hash, error) { return l.desc.Digest, nil }
func (l paperLayer) Size() (int64, error)     { return l.desc.Size, nil }

// FuzzPlanImage plans an image whose configuration is any bytes, and whose manifest
// is theirs by digest, with as many layers as asked for and any bytes added. An
// accepted one has the id that its content has, and layers that ids can name.
func FuzzPlanImage(f *testing.F) {
	const layer = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	f.Add([]byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["`+layer+`"]},"config":{"Env":["A=1"]}}`), []byte(`{}`), 1)
	f.Add([]byte(`{"rootfs":{"diff_ids":["sha512:00","../../x"]},"config":{"Env":["A"]}}`), []byte(`{"manifests":[{}]}`), 2)
	f.Fuzz(func(t *testing.T, config, extra []byte, layers int) {
		m := map[string]any{}
		if json.Unmarshal(extra, &m) != nil || m == nil || layers < 0 || layers > 20 {
			return
		}
		m["schemaVersion"] = 2
		m["config"] = map[string]any{"digest": digest.FromBytes(config).String(), "size": len(config)}
		var list []map[string]any
		for range layers {
			list = append(list, map[string]any{"digest": layer, "size": 0})
		}
		m["layers"] = list
		manifest, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		p, err := planImage(paperImage{config: config, manifest: manifest})
		if err != nil {
			return
		}
		if p.id != digest.FromBytes(config).Encoded() || len(p.layers) != layers {
			t.Errorf("id %s, %d layers of %d", p.id, len(p.layers), layers)
		}
		for i, l := range p.layers {
			if digest.NewDigestFromEncoded(digest.SHA256, l.id).Validate() != nil || i > 0 && l.parent != p.layers[i-1].id {
				t.Errorf("layer %d: %+v", i, l)
			}
		}
		if _, ambiguous := m["manifests"]; ambiguous {
			if raw, _ := json.Marshal(m["manifests"]); string(raw) != "null" && string(raw) != "[]" {
				t.Errorf("%s was taken", manifest)
			}
		}
	})
}
