package system

import (
	"strings"
	"testing"
)

func TestPrintVersion(t *testing.T) {
	info := versionInfo{"v1.2", "v1.2", "go9", "linux/arm64", "linux", "arm64"}
	for name, c := range map[string]struct{ format, want string }{
		"table":  {"", "Client:      nook\nVersion:     v1.2\nGo Version:  go9\nOS/Arch:     linux/arm64\n"},
		"docker": {"{{.Server.Version}}", "v1.2\n"},
		"editor": {"{{.Server.APIVersion}}", "v1.2\n"},
		"podman": {"{{.Client.OsArch}}", "linux/arm64\n"},
	} {
		var b strings.Builder
		if err := printVersion(&b, c.format, versions{info, info}); err != nil || b.String() != c.want {
			t.Errorf("%s: %q, %v; want %q", name, b.String(), err, c.want)
		}
	}
	for _, bad := range []string{"{{", "{{.Client.Nothing}}"} {
		var b strings.Builder
		if err := printVersion(&b, bad, versions{info, info}); err == nil || b.Len() > 0 {
			t.Errorf("%q: %q, %v; want an error and no output", bad, b.String(), err)
		}
	}
}
