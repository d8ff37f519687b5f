package image

import (
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/config/regconf"
	"github.com/nook-containers/nook/pkg/problem"
)

func testConfig() regconf.Registries {
	return regconf.Registries{
		Search: []string{"one.example", "two.example/team"}, SearchFrom: "/etc/r.conf",
		Aliases:   map[string]string{"ubi": "registry.example/ubi9/ubi"},
		AliasFrom: map[string]string{"ubi": "/etc/short.conf"},
	}
}

func TestCandidates(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("a", 64)
	for in, want := range map[string]string{
		"app":               "localhost/app one.example/app two.example/team/app docker.io/library/app",
		"app:1":             "localhost/app:1 one.example/app:1 two.example/team/app:1 docker.io/library/app:1",
		"user/app":          "localhost/user/app one.example/user/app two.example/team/user/app docker.io/user/app",
		"ubi:9":             "localhost/ubi:9 registry.example/ubi9/ubi:9 one.example/ubi:9 two.example/team/ubi:9 docker.io/library/ubi:9",
		"ubi" + digest:      "localhost/ubi" + digest + " registry.example/ubi9/ubi" + digest + " one.example/ubi" + digest + " two.example/team/ubi" + digest + " docker.io/library/ubi" + digest,
		"quay.io/x:1":       "quay.io/x:1",
		"docker.io/busybox": "docker.io/library/busybox",
		"localhost/app":     "localhost/app",
		"Not A Name":        "",
	} {
		if got := strings.Join(Candidates(in, testConfig()), " "); got != want {
			t.Errorf("Candidates(%q)\n got %s\nwant %s", in, got, want)
		}
	}
	if got := strings.Join(Candidates("app", regconf.Registries{Search: []string{"docker.io"}}), " "); got != "localhost/app docker.io/library/app" {
		t.Errorf("docker.io twice: %s", got)
	}
}

func TestResolve(t *testing.T) {
	for in, want := range map[string]string{
		"app":                  `one.example/app:latest two.example/team/app:latest | Resolved "app" with unqualified-search-registries (/etc/r.conf)`,
		"docker://app:1":       `one.example/app:1 two.example/team/app:1 | Resolved "app:1" with unqualified-search-registries (/etc/r.conf)`,
		"ubi:9":                `registry.example/ubi9/ubi:9 | Resolved "ubi:9" as an alias (/etc/short.conf)`,
		"quay.io/x":            "quay.io/x:latest | ",
		"docker.io/busybox:1":  "docker.io/library/busybox:1 | ",
		"docker://docker.io/x": "docker.io/library/x:latest | ",
	} {
		r, err := resolve(in, testConfig())
		var refs []string
		for _, ref := range r.refs {
			refs = append(refs, ref.String())
		}
		if got := strings.Join(refs, " ") + " | " + r.note; err != nil || got != want {
			t.Errorf("resolve(%q)\n got %s, %v\nwant %s", in, got, err, want)
		}
	}
	// A host without any configuration.
	r, err := resolve("busybox", regconf.Registries{})
	if err != nil || len(r.refs) != 1 || r.refs[0].String() != "docker.io/library/busybox:latest" || !strings.Contains(r.note, "docker.io, the default registry") {
		t.Errorf("no configuration: %+v, %v", r, err)
	}
}

func TestResolveRefuses(t *testing.T) {
	enforcing := testConfig()
	enforcing.ShortNameMode = regconf.ShortNameEnforcing
	for in, hint := range map[string]string{
		"app": "use the full name, as in one.example/app:latest", "oci-archive:x.tar": "nook load -i x.tar", "BAD": "[REGISTRY/]PATH",
	} {
		_, err := resolve(in, enforcing)
		if err == nil || !strings.Contains(problem.HintOf(err), hint) {
			t.Errorf("resolve(%q): %v, hint %q", in, err, problem.HintOf(err))
		}
	}
	one := enforcing
	one.Search = []string{"one.example"}
	if r, err := resolve("app", one); err != nil || len(r.refs) != 1 {
		t.Errorf("enforcing with one registry: %v", err)
	}
}

func TestIsShort(t *testing.T) {
	for name, want := range map[string]bool{
		"app": true, "team/app:1": true, "localhost/app": false, "docker.io/library/app": false, "[::1]:5000/app": false, "": false, "A B": false,
	} {
		if IsShort(name) != want {
			t.Errorf("IsShort(%q) = %v", name, !want)
		}
	}
	if short, full := Candidates("localhost/app", testConfig()), Candidates("localhost/app", regconf.Registries{}); strings.Join(short, " ") != strings.Join(full, " ") {
		t.Errorf("a name with a registry depends on registries.conf: %q, %q", short, full)
	}
}
