package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/config/regconf"
	"github.com/nook-containers/nook/pkg/registry"
)

const sample = `
[[registry]]
prefix = "example.com/foo"
location = "internal.example.net/bar"
[[registry.mirror]]
location = "m0.local/for-foo"
[[registry.mirror]]
location = "m1.local:5000/foo"
insecure = true
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "m2.local/foo"
pull-from-mirror = "tag-only"

[[registry]]
prefix = "example.com/foo/deep"
insecure = true

[[registry]]
location = "byd.example"
mirror-by-digest-only = true
[[registry.mirror]]
location = "m3.local"

[[registry]]
prefix = "*.wild.example"
insecure = true

[[registry]]
prefix = "*.moved.wild.example"
location = "new.example/old"

[[registry]]
prefix = "exact.wild.example"

[[registry]]
prefix = "bad.example"
blocked = true

[[registry]]
prefix = "docker.io/library"
location = "mirror.gcr.example/hub"

[[registry]]
prefix = "pin.example/app:v1"
location = "pin.example/app:v2"
`

func TestEndpoints(t *testing.T) {
	cfg, err := regconf.ParseRegistries("sample", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	digest := "@sha256:" + hex64
	for in, want := range map[string]string{
		"quay.io/x":                 "quay.io/x:latest",
		"example.com/foo/img:1":     "m0.local/for-foo/img:1 mirror; m2.local/foo/img:1 mirror; internal.example.net/bar/img:1",
		"example.com/foo:1":         "m0.local/for-foo:1 mirror; m2.local/foo:1 mirror; internal.example.net/bar:1",
		"example.com/foo" + digest:  "m0.local/for-foo" + digest + " mirror; m1.local:5000/foo" + digest + " mirror insecure; internal.example.net/bar" + digest,
		"example.com/foobar:1":      "example.com/foobar:1",
		"example.com/foo/deep/x:1":  "example.com/foo/deep/x:1 insecure",
		"example.com:5000/foo/x:1":  "example.com:5000/foo/x:1",
		"byd.example/x:1":           "byd.example/x:1",
		"byd.example/x" + digest:    "m3.local/x" + digest + " mirror; byd.example/x" + digest,
		"a.wild.example/x:1":        "a.wild.example/x:1 insecure",
		"a.b.wild.example:5000/x:1": "a.b.wild.example:5000/x:1 insecure",
		"wild.example/x:1":          "wild.example/x:1",
		"notwild.example/x:1":       "notwild.example/x:1",
		"a.moved.wild.example/x:1":  "a.moved.wild.example/x:1 insecure",
		"exact.wild.example/x:1":    "exact.wild.example/x:1",
		"docker.io/busybox:1":       "mirror.gcr.example/hub/busybox:1",
		"docker.io/user/app:1":      "docker.io/user/app:1",
		"pin.example/app:v1":        "pin.example/app:v2",
		"pin.example/app:v3":        "pin.example/app:v3",
	} {
		eps, err := registry.Endpoints(cfg, mustRef(t, in))
		var got []string
		for _, e := range eps {
			s := e.Ref.String()
			if e.Mirror {
				s += " mirror"
			}
			if e.Insecure {
				s += " insecure"
			}
			got = append(got, s)
		}
		if s := strings.Join(got, "; "); err != nil || s != want {
			t.Errorf("Endpoints(%s)\n got %s, %v\nwant %s", in, s, err, want)
		}
	}
	if _, err := registry.Endpoints(cfg, mustRef(t, "bad.example/x")); !errors.Is(err, registry.ErrBlocked) {
		t.Errorf("blocked: %v", err)
	}
}
