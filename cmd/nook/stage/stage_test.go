package stage_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/nook-containers/nook/"

// Every package that is linked into the stage is initialised before it, so what
// it may import is counted: the standard library without its network and
// subprocess parts, the kernel, and the stage itself.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(string(out))
	want := []string{
		module + "libpod/attach", module + "libpod/events", module + "libpod/health", module + "libpod/monitor", module + "libpod/netd/member", module + "libpod/netprog/carrier", module + "libpod/pod", module + "libpod/spec", module + "libpod/state",
		module + "libpod/volume", module + "pkg/filetree",
		module + "pkg/cgroups", module + "pkg/logs", module + "pkg/pack", module + "pkg/problem", module + "pkg/statefile", module + "pkg/sys",
		module + "cmd/nook/stage", module + "pkg/oci/hooks", module + "pkg/oci/plan", module + "pkg/oci/stage",
		module + "pkg/sys/kern", "golang.org/x/sys/unix",
		module + "pkg/doctor", module + "pkg/problem/remedy", module + "pkg/units", // of cgroups; nothing in them is initialised
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	// What is large, or late: package unique and its kin have names so far down the
	// alphabet that the linker puts nearly the whole program before them, and with
	// them before the stages (TestEarlyBudget in test).
	std, err := exec.Command("go", "list", "-deps", "-f", "{{if .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, heavy := range []string{"net", "net/netip", "unique", "weak", "os/exec", "os/user", "net/http", "regexp", "text/template", "crypto/rand", "crypto/tls", "log/slog"} {
		if slices.Contains(strings.Fields(string(std)), heavy) {
			t.Errorf("imports %s", heavy)
		}
	}
}
