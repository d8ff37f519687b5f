package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/registry"
)

var hex64 = strings.Repeat("a", 64)

func TestParseReference(t *testing.T) {
	for in, want := range map[string]registry.Reference{
		"busybox":                               {Path: "busybox"},
		"busybox:1.36":                          {Path: "busybox", Tag: "1.36"},
		"user/app":                              {Path: "user/app"},
		"docker.io/busybox":                     {Host: "docker.io", Path: "library/busybox"},
		"index.docker.io/busybox":               {Host: "docker.io", Path: "library/busybox"},
		"registry-1.docker.io/user/app":         {Host: "docker.io", Path: "user/app"},
		"docker.io/library/busybox:latest":      {Host: "docker.io", Path: "library/busybox", Tag: "latest"},
		"localhost/app":                         {Host: "localhost", Path: "app"},
		"localhost:5000/a/b:t":                  {Host: "localhost:5000", Path: "a/b", Tag: "t"},
		"127.0.0.1:5000/a":                      {Host: "127.0.0.1:5000", Path: "a"},
		"[::1]:5000/a":                          {Host: "[::1]:5000", Path: "a"},
		"quay.io/x/y@sha256:" + hex64:           {Host: "quay.io", Path: "x/y", Digest: "sha256:" + hex64},
		"quay.io/x/y:v@sha256:" + hex64:         {Host: "quay.io", Path: "x/y", Tag: "v", Digest: "sha256:" + hex64},
		"a@sha512:" + strings.Repeat("a", 128):  {Path: "a", Digest: "sha512:" + strings.Repeat("a", 128)},
		"host.example/a__b/c.d/e-f/g---h:Tag_1": {Host: "host.example", Path: "a__b/c.d/e-f/g---h", Tag: "Tag_1"},
	} {
		got, err := registry.ParseReference(in)
		if err != nil || got != want {
			t.Errorf("ParseReference(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
}

func TestParseReferenceRefuses(t *testing.T) {
	for _, in := range []string{
		"", "/", "a/", "/a", "a//b", "UPPER", "a:", "a:-x", "a:.x", "a:" + strings.Repeat("x", 129), "a b", "a\n", "-a", "a-", "a___b", "a..b",
		"a@", "a@sha256:", "a@sha256:" + hex64[1:], "a@md5:" + hex64, "a@sha256:../../etc", "a@sha256:" + strings.ToUpper(hex64),
		"host.example/", "host.example:port/a", "host.example:/a", "host..example/a", "-x.example/a", "[::1/a", "[zz:]/a", "x.example/../a", "x.example/a/..",
		"x.example/" + strings.Repeat("a", 255), "a@sha256:" + hex64 + "@sha256:" + hex64, "docker.io/", "u:p@host.example/a", "host.example/a?x=y", "host.example/a#f", "a%2fb",
	} {
		if got, err := registry.ParseReference(in); !errors.Is(err, registry.ErrReference) {
			t.Errorf("ParseReference(%q) = %+v, %v", in, got, err)
		}
	}
}

func TestTrimTransport(t *testing.T) {
	for in, want := range map[string]string{
		"busybox": "busybox", "docker://busybox": "busybox", "docker://quay.io/x:y": "quay.io/x:y",
		"oci:latest": "oci:latest", "dir:v1": "dir:v1", // images of that name
	} {
		if got, err := registry.TrimTransport(in); err != nil || got != want {
			t.Errorf("TrimTransport(%q) = %q, %v", in, got, err)
		}
	}
	for in, hint := range map[string]string{
		"oci:/tmp/x": "nook load -i /tmp/x", "oci-archive:x.tar": "nook load -i x.tar", "docker-archive:/t/x.tar:name": "nook load -i /t/x.tar",
		"dir:/tmp/x": "give a name at a registry", "docker-daemon:x:y": "give a name at a registry", "https://quay.io/x": "nook pull quay.io/x",
		"containers-storage:x": "give a name",
	} {
		_, err := registry.TrimTransport(in)
		if err == nil || !strings.Contains(problem.HintOf(err), hint) {
			t.Errorf("TrimTransport(%q): %v, hint %q", in, err, problem.HintOf(err))
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"busybox", "docker.io/x:y@sha256:" + hex64, "[::1]:5/a", "a__b/c-d", "A/b", "a.b:5/c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := registry.ParseReference(s)
		if err != nil {
			return
		}
		again, err := registry.ParseReference(ref.String())
		if err != nil || again != ref {
			t.Errorf("%q reads as %+v, which reads as %+v, %v", s, ref, again, err)
		}
		if strings.Contains(ref.String(), "..") || strings.ContainsAny(ref.String(), " \n\\?#%") {
			t.Errorf("%q reads as %q", s, ref)
		}
	})
}
