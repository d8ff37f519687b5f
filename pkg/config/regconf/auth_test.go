package regconf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadAuthOrder(t *testing.T) {
	dir := write(t, map[string]string{
		"run/containers/auth.json":    `{"auths":{"a":{"auth":"cnVu"}}}`,
		"config/containers/auth.json": `{"credHelpers":{"b":"pass"}}`,
		"home/.docker/config.json":    `{"auths":{"c":{"identitytoken":"t"}},"credsStore":"secretservice","psFormat":"x"}`,
		"home/.dockercfg":             `{"d":{"auth":"b2xk"}}`,
		"other.json":                  `{"auths":{"e":{}}}`,
		"docker/config.json":          `{"auths":{"f":{}}}`,
		"broken.json":                 `{"auths":`,
		"empty.json":                  ``,
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	t.Setenv("HOME", at("home"))
	t.Setenv("XDG_RUNTIME_DIR", at("run"))
	t.Setenv("XDG_CONFIG_HOME", at("config"))
	t.Setenv("DOCKER_CONFIG", "")
	t.Setenv("REGISTRY_AUTH_FILE", "")

	files, err := LoadAuth("")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		rel, err := filepath.Rel(dir, f.Path)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, rel)
	}
	want := "run/containers/auth.json config/containers/auth.json home/.docker/config.json home/.dockercfg"
	if s := strings.Join(got, " "); s != want {
		t.Fatalf("files %s, want %s", s, want)
	}
	if files[0].Auths["a"].Auth != "cnVu" || files[1].CredHelpers["b"] != "pass" || files[2].Auths["c"].IdentityToken != "t" ||
		files[2].CredsStore != "secretservice" || files[3].Auths["d"].Auth != "b2xk" {
		t.Errorf("content is %+v", files)
	}

	t.Setenv("DOCKER_CONFIG", at("docker"))
	if files, err := LoadAuth(""); err != nil || files[2].Path != at("docker/config.json") {
		t.Errorf("DOCKER_CONFIG: %+v, %v", files, err)
	}
	t.Setenv("REGISTRY_AUTH_FILE", at("other.json"))
	if files, err := LoadAuth(""); err != nil || len(files) != 1 || files[0].Path != at("other.json") {
		t.Errorf("REGISTRY_AUTH_FILE: %+v, %v", files, err)
	}
	if files, err := LoadAuth(at("empty.json")); err != nil || len(files) != 1 || files[0].Path != at("empty.json") {
		t.Errorf("--authfile: %+v, %v", files, err)
	}
	if _, err := LoadAuth(at("broken.json")); err == nil || !strings.Contains(err.Error(), at("broken.json")) {
		t.Errorf("broken: %v", err)
	}
	if _, err := LoadAuth(at("missing.json")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "--authfile") {
		t.Errorf("missing: %v", err)
	}
	t.Setenv("REGISTRY_AUTH_FILE", "")
	if err := os.WriteFile(at("config/containers/auth.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadAuth(""); err == nil || !strings.Contains(err.Error(), "config/containers/auth.json") {
		t.Errorf("a broken file among the defaults: %v", err)
	}
}

func TestCertDirs(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "/c")
	got, err := CertDirs("h.example:5000")
	want := "/c/containers/certs.d/h.example:5000 /etc/containers/certs.d/h.example:5000 /etc/docker/certs.d/h.example:5000"
	if err != nil || strings.Join(got, " ") != want {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzParseAuth(f *testing.F) {
	f.Add("auth.json", []byte(`{"auths":{"a":{"auth":"eDp5"}},"credHelpers":{"b":"c"}}`))
	f.Add(".dockercfg", []byte(`{"a":{"auth":"eDp5"}}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if got, err := ParseAuth(name, data); err == nil && got.Path != name {
			t.Errorf("path %q became %q", name, got.Path)
		}
	})
}
