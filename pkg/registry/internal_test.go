package registry

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nook-containers/nook/pkg/problem"
)

func TestParseChallenges(t *testing.T) {
	for in, want := range map[string]string{
		`Basic realm="x"`: `basic realm=x`,
		`Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"`: `bearer realm=https://auth.docker.io/token scope=repository:a/b:pull service=registry.docker.io`,
		`Bearer realm=https://a.example/token,service=x`:                                                       `bearer realm=https://a.example/token service=x`,
		`BEARER Realm = "a" , service = "b\"c"`:                                                                `bearer realm=a service=b"c`,
		`Negotiate, Basic realm="x", Bearer realm="y"`:                                                         `negotiate;basic realm=x;bearer realm=y`,
		`Bearer realm="first",realm="second"`:                                                                  `bearer realm=first`,
		`Bearer realm="open`:                                                                                   `bearer`,
		``:                                                                                                     ``,
		`=x`:                                                                                                   ``,
		`Bearer realm="a\`:                                                                                     `bearer`,
	} {
		if got := showChallenges(parseChallenges(in)); got != want {
			t.Errorf("parseChallenges(%q)\n got %s\nwant %s", in, got, want)
		}
	}
}

func showChallenges(list []challenge) string {
	var out []string
	for _, c := range list {
		s := []string{}
		for k, v := range c.params {
			s = append(s, k+"="+v)
		}
		slices.Sort(s)
		out = append(out, strings.Join(append([]string{c.scheme}, s...), " "))
	}
	return strings.Join(out, ";")
}

func TestPickChallenge(t *testing.T) {
	h := http.Header{"Www-Authenticate": {`Basic realm="b"`, `Negotiate`, `Bearer realm="t"`}}
	if c, ok := pickChallenge(h); !ok || c.scheme != "bearer" {
		t.Errorf("picked %+v", c)
	}
	if _, ok := pickChallenge(http.Header{"Www-Authenticate": {"Negotiate"}}); ok {
		t.Error("picked a challenge nobody can answer")
	}
}

func FuzzParseChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://a/b",service=x,scope="y:z"`)
	f.Add(`Basic realm="a\"b", Negotiate`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range parseChallenges(s) {
			if c.scheme == "" || strings.ContainsAny(c.scheme, " \t\r\n=,\"") {
				t.Errorf("%q gives scheme %q", s, c.scheme)
			}
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	digest := "sha256:" + strings.Repeat("a", 64)
	f.Add([]byte(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"`+digest+`","size":3},"layers":[]}`), "application/vnd.oci.image.manifest.v1+json")
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"`+digest+`","size":3,"platform":{"os":"linux","architecture":"amd64"}}]}`), "application/vnd.oci.image.index.v1+json; charset=utf-8")
	f.Fuzz(func(t *testing.T, raw []byte, contentType string) {
		m, err := parseManifest(raw, contentType)
		if err != nil {
			return
		}
		if (m.image == nil) == (m.index == nil) {
			t.Fatal("neither or both of image and index")
		}
		var all []v1.Descriptor
		if m.image != nil {
			all = append(m.image.Layers, m.image.Config)
		} else {
			all = m.index.Manifests
		}
		for _, d := range all {
			if _, err := v1.NewHash(d.Digest.String()); err != nil || d.Size < 0 {
				t.Errorf("descriptor %+v got through", d)
			}
		}
	})
}

func TestSelectPlatform(t *testing.T) {
	entry := func(s string) v1.Descriptor {
		p := strings.Split(s+"//", "/")
		return v1.Descriptor{ArtifactType: s, Platform: &v1.Platform{OS: p[0], Architecture: p[1], Variant: p[2]}}
	}
	for name, tc := range map[string]struct {
		list, want, got string
	}{
		"exact":                       {"linux/arm64 linux/amd64", "linux/amd64", "linux/amd64"},
		"arm64/v8 is arm64":           {"linux/amd64 linux/arm64/v8", "linux/arm64", "linux/arm64/v8"},
		"aarch64 is arm64":            {"linux/amd64 linux/arm64", "aarch64", "linux/arm64"},
		"x86_64 is amd64":             {"linux/arm64 linux/amd64", "linux/x86_64", "linux/amd64"},
		"v7 takes v6":                 {"linux/arm/v5 linux/arm/v6", "linux/arm/v7", "linux/arm/v6"},
		"v6 does not take v7":         {"linux/arm/v7", "linux/arm/v6", ""},
		"arm is v7":                   {"linux/arm/v6 linux/arm/v7", "linux/arm", "linux/arm/v7"},
		"amd64/v3 takes v2":           {"linux/amd64 linux/amd64/v2", "linux/amd64/v3", "linux/amd64/v2"},
		"amd64 does not take v2":      {"linux/amd64/v2 linux/amd64", "linux/amd64", "linux/amd64"},
		"the first of equals":         {"linux/amd64/v1 linux/amd64", "linux/amd64", "linux/amd64/v1"},
		"attestations do not run":     {"unknown/unknown linux/amd64", "linux/amd64", "linux/amd64"},
		"nothing":                     {"linux/arm64 windows/amd64", "linux/amd64", ""},
		"another system":              {"linux/amd64 windows/amd64", "windows/amd64", "windows/amd64"},
		"arm64/v9 takes the baseline": {"linux/arm64", "linux/arm64/v9", "linux/arm64"},
		"386 is not amd64":            {"linux/386", "linux/amd64", ""},
		"riscv64 as it is":            {"linux/riscv64", "linux/riscv64", "linux/riscv64"},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := ParsePlatform(tc.want)
			if err != nil {
				t.Fatal(err)
			}
			var list []v1.Descriptor
			for s := range strings.FieldsSeq(tc.list) {
				list = append(list, entry(s))
			}
			got, err := selectPlatform(list, want)
			if got.ArtifactType != tc.got || (err != nil) != (tc.got == "") {
				t.Fatalf("got %q, %v; want %q", got.ArtifactType, err, tc.got)
			}
			if err != nil && (!errors.Is(err, ErrPlatform) || !strings.Contains(err.Error(), strings.Fields(tc.list)[0]) || !strings.Contains(problem.HintOf(err), "--platform")) {
				t.Errorf("error %v, hint %q", err, problem.HintOf(err))
			}
		})
	}
	if d, err := selectPlatform([]v1.Descriptor{{ArtifactType: "only"}}, HostPlatform()); err != nil || d.ArtifactType != "only" {
		t.Errorf("an index of one image without a platform: %v", err)
	}
}

func TestParsePlatformRefuses(t *testing.T) {
	for _, s := range []string{"", "/", "linux/", "/amd64", "a/b/c/d", "linux /amd64"} {
		if p, err := ParsePlatform(s); err == nil {
			t.Errorf("ParsePlatform(%q) = %v", s, p)
		}
	}
	if p, err := ParsePlatform("linux"); err != nil || p.Architecture != HostPlatform().Architecture {
		t.Errorf("linux: %v, %v", p, err)
	}
}

func TestTransient(t *testing.T) {
	for err, want := range map[error]bool{
		&StatusError{Status: 503}:                          true,
		&StatusError{Status: 404}:                          false,
		&StatusError{Status: 401}:                          false,
		&StatusError{Status: 501}:                          false,
		errors.New("http2: server sent GOAWAY and closed"): true,
		errors.New("x509: certificate signed by unknown"):  false,
		fmt.Errorf("read: %w", errStalled):                 true,
	} {
		if transient(err, false) != want {
			t.Errorf("transient(%v) = %v", err, !want)
		}
	}
}

func TestNextQuery(t *testing.T) {
	for in, want := range map[string]string{
		`</v2/a/tags/list?n=2&last=x>; rel="next"`:            "?n=2&last=x",
		`<https://evil.example/steal?n=2&last=x>; rel="next"`: "?n=2&last=x",
		`</v2/a/tags/list?n=2>; rel="prev"`:                   "",
		``:                                                    "", `garbage`: "", `</v2/a>; rel="next"`: "",
	} {
		if got := nextQuery(in); got != want {
			t.Errorf("nextQuery(%q) = %q, want %q", in, got, want)
		}
	}
}
