package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/nook-containers/nook/"

// layers lists what each part of the tree may import from this module. The
// longest matching prefix decides; a package no entry covers fails the test.
var layers = map[string][]string{
	// base
	"pkg/problem":   {"pkg/problem"},
	"pkg/doctor":    {"pkg/problem", "pkg/sys", "pkg/units"},
	"pkg/cleanup":   {},
	"pkg/units":     {},
	"pkg/sys":       {"pkg/sys"},
	"pkg/statefile": {"pkg/sys"},
	"pkg/pack":      {"pkg/pack"},
	"pkg/term":      {"pkg/sys"},
	"pkg/config":    {"pkg/config", "pkg/doctor", "pkg/sys", "pkg/problem"},

	// mechanisms
	"pkg/cdi":           {"pkg/problem"},
	"pkg/containerfile": {"pkg/problem"},
	"pkg/filetree":      {"pkg/sys"},
	"pkg/archive":       {"pkg/sys", "pkg/problem", "pkg/cleanup", "pkg/filetree"},
	"pkg/logs":          {"pkg/sys", "pkg/problem", "pkg/logs"},
	"pkg/registry":      {"pkg/problem", "pkg/config", "pkg/registry"},
	"pkg/store":         {"pkg/archive", "pkg/doctor", "pkg/sys", "pkg/problem", "pkg/cleanup", "pkg/store"},
	"pkg/oci":           {"pkg/oci", "pkg/cgroups", "pkg/pack", "pkg/sys", "pkg/problem", "pkg/cleanup", "pkg/statefile"},
	"pkg/oci/plan":      {},
	"pkg/oci/seed":      {"pkg/oci/plan", "pkg/sys"},
	"pkg/oci/caps":      {},
	"pkg/proctab":       {"pkg/sys", "pkg/oci/caps"},
	"pkg/cgroups":       {"pkg/cgroups", "pkg/doctor", "pkg/sys", "pkg/problem"},
	"pkg/systemd":       {},
	"pkg/bridge":        {"pkg/sys", "pkg/problem"},
	"pkg/hostnet":       {},
	"pkg/dns":           {"slirp"},
	"userns":            {"pkg/doctor", "pkg/sys", "pkg/problem", "pkg/cleanup"},
	"slirp":             {"pkg/doctor", "pkg/sys", "pkg/problem", "pkg/cleanup", "slirp"},

	// library
	"libpod/spec":            {},
	"libpod/spec/ip":         {"libpod/spec"},
	"libpod/attach":          {"pkg/sys"},
	"libpod/state":           {"pkg/sys", "pkg/cgroups", "pkg/problem", "pkg/statefile", "libpod/spec"},
	"libpod/ocispec":         {"libpod/spec"},
	"libpod/secret":          {"pkg/problem", "pkg/statefile"},
	"libpod/image":           {"pkg/", "libpod/spec"},
	"libpod/egress":          {"pkg/problem", "libpod/syntax"},
	"libpod/volume":          {"pkg/sys", "pkg/problem", "pkg/statefile", "pkg/filetree", "libpod/spec", "libpod/syntax", "libpod/state", "libpod/events"},
	"libpod/network":         {"pkg/sys", "pkg/problem", "pkg/statefile", "libpod/egress", "libpod/spec", "libpod/syntax", "libpod/state", "libpod/events"},
	"libpod/volume/transfer": {"pkg/", "userns", "libpod/volume"},
	"libpod/pod":             {"pkg/sys", "pkg/problem", "pkg/statefile", "libpod/spec", "libpod/state"},
	"libpod/events":          {"pkg/sys", "libpod/state", "libpod/pod"},
	"libpod/health":          {"pkg/statefile", "libpod/spec"},
	"libpod/netd":            {"pkg/sys", "pkg/bridge", "pkg/dns", "pkg/hostnet", "pkg/problem", "pkg/cleanup", "pkg/statefile", "slirp", "libpod/egress", "libpod/events", "libpod/spec", "libpod/state", "libpod/network", "libpod/netd"},
	"libpod/netd/member":     {"pkg/sys", "libpod/spec"},
	"libpod/netprog/carrier": {"pkg/sys"},
	"libpod/netprog":         {"pkg/hostnet", "pkg/problem", "pkg/sys", "libpod/netd/member", "libpod/netprog/carrier", "libpod/network", "libpod/spec", "libpod/syntax"},
	"libpod/monitor":         {"pkg/sys", "pkg/logs", "pkg/cgroups", "pkg/pack", "libpod/attach", "libpod/events", "libpod/health", "libpod/netd/member", "libpod/netprog/carrier", "libpod/pod", "libpod/spec", "libpod/state", "libpod/volume"},
	"libpod/container":       {"pkg/", "userns", "libpod/spec", "libpod/state", "libpod/ocispec", "libpod/image", "libpod/attach", "libpod/events", "libpod/health", "libpod/monitor", "libpod/netd/member", "libpod/netprog", "libpod/network", "libpod/pod", "libpod/volume", "libpod/secret", "libpod/syntax"},
	"libpod":                 {"pkg/", "userns", "libpod/"},

	// front ends
	"cmd/nook/launch": {"pkg/sys", "pkg/config", "pkg/cgroups", "pkg/oci/seed", "userns", "libpod/attach"},
	"cmd/nook/stage":  {"libpod/monitor", "pkg/sys", "pkg/oci/stage", "pkg/oci/plan"},
	"cmd":             {"cmd/", "libpod", "userns", "slirp/forward", "pkg/"},
	"test":            {"cmd/", "pkg/", "test/"},
}

// pure packages compute; they neither call the kernel nor read the host.
var pure = []string{"libpod/spec", "libpod/ocispec"}

// impure is what a pure package must not import.
var impure = []string{"os", "os/exec", "net", "golang.org/x/sys/unix", "syscall"}

// confined lists packages that only one part of the tree may import.
var confined = map[string][]string{
	"golang.org/x/sys/unix":                                {"pkg/sys", "test"},
	"github.com/spf13/cobra":                               {"cmd"},
	"github.com/spf13/pflag":                               {"cmd"},
	"go.podman.io/storage":                                 {"pkg/store", "pkg/archive", "cmd/nook"},
	"github.com/google/go-containerregistry/pkg/v1/remote": {"pkg/registry", "test"},
	"gvisor.dev/gvisor":                                    {"slirp/netstack"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		t.Fatal("go list found no package")
	}
	return all
}

func TestLayers(t *testing.T) {
	for _, p := range listPackages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		rule, allowed := "", []string(nil)
		for prefix, a := range layers {
			if within(from, prefix) && len(prefix) > len(rule) {
				rule, allowed = prefix, a
			}
		}
		if rule == "" {
			t.Errorf("%s: no layer covers it; add it to layers", from)
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if ours && !hasAnyPrefix(to, allowed) {
				t.Errorf("%s imports %s; layer %q allows %q", from, to, rule, allowed)
			}
		}
	}
}

func TestPurePackages(t *testing.T) {
	for _, p := range listPackages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, prefix := range pure {
			if !within(from, prefix) {
				continue
			}
			for _, imp := range p.Imports {
				for _, bad := range impure {
					if imp == bad {
						t.Errorf("%s is pure and must not import %s", from, bad)
					}
				}
			}
		}
	}
}

func TestConfinedImports(t *testing.T) {
	for _, p := range listPackages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			for pkg, owners := range confined {
				if !within(imp, pkg) {
					continue
				}
				ok := false
				for _, o := range owners {
					ok = ok || within(from, o)
				}
				if !ok {
					t.Errorf("%s imports %s, which belongs to %q", from, imp, owners)
				}
			}
		}
	}
}

func within(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
