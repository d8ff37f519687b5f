package container

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/oci/seccomp"
)

// The filter that is made ahead is for the capabilities that containers have, and not for
// others. Another runtime gets the profile to compile itself.
func TestMakeFilter(t *testing.T) {
	for name, c := range map[string]struct {
		spec    spec.Container
		runtime string
		ahead   bool
	}{
		"by default":          {spec.Container{}, "", true},
		"another runtime":     {spec.Container{}, "/usr/bin/crun", false},
		"a capability more":   {spec.Container{CapAdd: []string{"CAP_BPF"}}, "", false},
		"a capability less":   {spec.Container{CapDrop: []string{"CAP_CHOWN"}}, "", false},
		"for more containers": {spec.Container{Security: spec.Security{Seccomp: spec.SeccompNested}}, "", false},
	} {
		f, err := makeFilter(c.spec, c.runtime)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := f.spec == nil; got != (c.ahead && runtime.GOARCH == "amd64") {
			t.Errorf("%s: made ahead: %v", name, got)
		}
		if f.program == nil {
			t.Fatalf("%s: no filter", name)
		}
		if f.spec == nil {
			continue
		}
		want, err := seccomp.Compile(f.spec)
		if err != nil || !bytes.Equal(f.program.Program, want.Program) {
			t.Errorf("%s: the program is not the profile's: %v", name, err)
		}
	}
}
