package regconf

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/problem"
)

// write makes files below a fresh directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRegistriesMerge(t *testing.T) {
	dir := write(t, map[string]string{
		"etc/registries.conf":                       `unqualified-search-registries = ["system.example"]`,
		"etc/registries.conf.d/000-shortnames.conf": "[aliases]\nbusybox = \"docker.io/library/busybox\"\ngone = \"quay.io/x/gone\"\n",
		"etc/registries.conf.d/ignored.txt":         `nonsense`,
		"user/registries.conf":                      "unqualified-search-registries = [\"user.example\", \"quay.io/team\"]\ncredential-helpers = [\"a\"]\n[[registry]]\nprefix = \"x.example\"\ninsecure = true\n",
		"user/registries.conf.d/10.conf":            "short-name-mode = \"enforcing\"\n[aliases]\ngone = \"\"\n[[registry]]\nprefix = \"x.example\"\nblocked = true\n",
		"user/registries.conf.d/20.conf":            "credential-helpers = []\n",
		"cache/aliases":                             "[aliases]\nbusybox = \"quay.io/my/busybox\"\n",
	})
	d := registryDirs{system: filepath.Join(dir, "etc"), user: filepath.Join(dir, "user"), aliases: filepath.Join(dir, "cache/aliases")}
	r, err := d.load()
	if err != nil {
		t.Fatal(err)
	}
	want := Registries{
		Search: []string{"user.example", "quay.io/team"}, SearchFrom: filepath.Join(dir, "user/registries.conf"),
		ShortNameMode: ShortNameEnforcing, CredentialHelpers: []string{},
		Aliases:    map[string]string{"busybox": "quay.io/my/busybox"},
		AliasFrom:  map[string]string{"busybox": filepath.Join(dir, "cache/aliases")},
		Registries: []Registry{{Prefix: "x.example", Location: "x.example", Blocked: true}},
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got  %+v\nwant %+v", r, want)
	}
}

func TestRegistriesMissing(t *testing.T) {
	empty := t.TempDir()
	d := registryDirs{system: empty, user: empty, aliases: filepath.Join(empty, "x")}
	if r, err := d.load(); err != nil || len(r.Search) != 0 {
		t.Errorf("no files: %+v, %v", r, err)
	}
	d.explicit = filepath.Join(empty, "named")
	if _, err := d.load(); err == nil || !strings.Contains(problem.HintOf(err), "unset CONTAINERS_REGISTRIES_CONF") {
		t.Errorf("the named file is missing: %v", err)
	}
}

func TestLoadRegistriesReadsTheEnvironment(t *testing.T) {
	dir := write(t, map[string]string{
		"named.conf":                               `unqualified-search-registries = ["named.example"]`,
		"config/containers/registries.conf":        `unqualified-search-registries = ["user.example"]`,
		"cache/containers/short-name-aliases.conf": "[aliases]\nx = \"a.example/x\"\n",
	})
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv("CONTAINERS_REGISTRIES_CONF", "")
	r, err := LoadRegistries()
	if err != nil || r.Search[0] != "user.example" || r.Aliases["x"] != "a.example/x" {
		t.Errorf("%+v, %v", r, err)
	}
	t.Setenv("CONTAINERS_REGISTRIES_CONF", filepath.Join(dir, "named.conf"))
	if r, err := LoadRegistries(); err != nil || r.Search[0] != "named.example" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestRegistriesRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"[registries.search]\nregistries = ['a']": "version 1",
		"[[registry]]":                                                                             "neither prefix nor location",
		"[[registry]]\nprefix = 'example.*.com'":                                                   "wildcard",
		"[[registry]]\nprefix = '*.example.com/foo'":                                               "wildcard",
		"[[registry]]\nprefix = '*.example.com:5000'":                                              "wildcard",
		"[[registry]]\nlocation = 'https://x.example'":                                             "without a scheme",
		"[[registry]]\nlocation = 'x.example'\n[[registry.mirror]]\ninsecure = true":               "no location",
		"[[registry]]\nlocation = 'x.example'\n[[registry]]\nprefix = 'x.example/'":                "two [[registry]]",
		"[[registry]]\nlocation = 'x'\n[[registry.mirror]]\nlocation = 'm'\npull-from-mirror='no'": "digest-only or tag-only",
		"[[registry]]\nlocation = 'x'\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = 'm'\npull-from-mirror='all'": "exclude each other",
		"short-name-mode = 'often'":               "enforcing, permissive or disabled",
		"unqualified-search-registries = ['a b']": "without a scheme",
		"[aliases]\n'quay.io/x' = 'quay.io/y'":    "short name",
		"[aliases]\n'x:1' = 'quay.io/y'":          "short name",
		"[aliases]\n'localhost/x' = 'quay.io/y'":  "short name",
		"[aliases]\nx = 'y'":                      "want host/name",
		"[aliases]\nx = 'quay.io/y:1'":            "want host/name",
		"not toml at all":                         "file.conf",
	} {
		_, err := ParseRegistries("file.conf", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "file.conf") {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func FuzzParseRegistries(f *testing.F) {
	f.Add([]byte("unqualified-search-registries = ['a']\n[[registry]]\nprefix='*.b'\n[[registry.mirror]]\nlocation='c'\n[aliases]\nx='y.z/x'"))
	f.Add([]byte("[registries.search]\nregistries=['a']"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRegistries("f", data)
		if err != nil {
			return
		}
		for _, reg := range r.Registries {
			if reg.Prefix == "" || reg.Location == "" && !strings.HasPrefix(reg.Prefix, "*.") {
				t.Errorf("table without an address: %+v", reg)
			}
		}
	})
}
