package cdi

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/problem"
)

const description = `{"cdiVersion": "0.6.0", "kind": "acme.com/gpu",
	"containerEdits": {"env": ["ACME=1"]},
	"devices": [
		{"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/acme0", "hostPath": "/dev/null"}, {"path": "/dev/not-there"}]}},
		{"name": "all", "containerEdits": {"deviceNodes": [{"path": "/dev/zero"}]}}
	]}`

func describe(t *testing.T, name, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestResolve(t *testing.T) {
	dir := describe(t, "acme.json", description)
	for _, name := range []string{"acme.com/gpu=0", "gpu=0"} {
		e, notices, err := Resolve([]string{dir}, []string{name, "acme.com/gpu=all"})
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Env) != 1 || e.Env[0] != "ACME=1" {
			t.Errorf("%s: environment %q: what all devices need is needed once", name, e.Env)
		}
		if len(e.DeviceNodes) != 2 || HostPath(e.DeviceNodes[0]) != "/dev/null" || HostPath(e.DeviceNodes[1]) != "/dev/zero" {
			t.Errorf("%s: nodes %v", name, e.DeviceNodes)
		}
		if len(notices) != 1 || !strings.Contains(notices[0], "/dev/not-there") {
			t.Errorf("%s: notices %q", name, notices)
		}
	}
}

func TestResolveErrors(t *testing.T) {
	for name, tc := range map[string]struct{ dir, device, want, hint string }{
		"other device": {describe(t, "acme.json", description), "acme.com/gpu=7", "no such CDI device", "this host has acme.com/gpu=0, acme.com/gpu=all"},
		"nothing":      {t.TempDir(), "gpu=all", "no such CDI device", "nvidia-ctk cdi generate"},
		"damaged":      {describe(t, "acme.yaml", "kind: ["), "acme.com/gpu=0", "no such CDI device", "a description is damaged"},
		"network":      {describe(t, "n.json", strings.NewReplacer("0.6.0", "1.1.0", `"env": ["ACME=1"]`, `"netDevices": [{"hostInterfaceName": "eth0", "name": "eth0"}]`).Replace(description)), "gpu=all", "only root can give", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Resolve([]string{tc.dir}, []string{tc.device})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(problem.HintOf(err), tc.hint) {
				t.Errorf("%v, hint %q", err, problem.HintOf(err))
			}
			if tc.want == ErrUnknown.Error() && !errors.Is(err, ErrUnknown) {
				t.Errorf("%v is another error", err)
			}
		})
	}
}

// Whatever a description says, its nodes are there, or it is refused.
func FuzzResolve(f *testing.F) {
	for _, seed := range []string{
		description,
		strings.Replace(description, `{"path": "/dev/zero"}`, "null", 1),
		strings.Replace(description, `"devices": [`, `"devices": [null, `, 1),
		strings.Replace(description, "/dev/zero", "../dev/zero", 1),
		`{"cdiVersion": "0.6.0", "kind": "acme.com/gpu", "devices": [{"name": "all", "containerEdits": null}]}`,
		"kind: [", "",
	} {
		f.Add(seed)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(filepath.Join(dir, "acme.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		e, _, err := Resolve([]string{dir}, []string{"gpu=all"})
		if err != nil {
			return
		}
		for _, n := range e.DeviceNodes {
			if _, err := os.Stat(HostPath(n)); err != nil {
				t.Errorf("node %v: %v", n, err)
			}
		}
	})
}
