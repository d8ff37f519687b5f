package ocispec

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
)

// FuzzImage gives Build an image configuration as a registry could serve it. What
// comes out can be written down, has a command, and no environment that the image
// would take from the host.
func FuzzImage(f *testing.F) {
	f.Add([]byte(`{"Env":["PATH=/bin","A"],"Cmd":["sh"],"Entrypoint":null,"WorkingDir":"/x/../y","User":"1:2","Volumes":["/v"],"StopSignal":"SIGTERM"}`))
	f.Add([]byte(`{"Env":["=x","\u0000=1"],"Entrypoint":[""],"WorkingDir":"../..","Labels":{"":""},"ExposedPorts":["80/tcp"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := plain()
		in.Image = spec.ImageConfig{}
		if json.Unmarshal(data, &in.Image) != nil {
			return
		}
		in.Spec.Args = nil
		out, err := Build(in)
		if err != nil {
			return
		}
		if _, err := json.Marshal(out); err != nil {
			t.Error(err)
		}
		if len(out.Process.Args) == 0 || !strings.HasPrefix(out.Process.Cwd, "/") {
			t.Errorf("process %+v", out.Process)
		}
		if slices.ContainsFunc(out.Process.Env, func(e string) bool { return strings.Index(e, "=") < 1 }) {
			t.Errorf("environment %q", out.Process.Env)
		}
	})
}
