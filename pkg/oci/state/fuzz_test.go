package state

import (
	"os"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// FuzzRecord puts any bytes in the place of a container's record: reading it answers
// or refuses, and nothing that it makes up is alive.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"pid":-1,"boot":"x"}`))
	f.Add([]byte(`{"pid":1e99}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, lock, err := Store{Dir: t.TempDir()}.Create("x", &specs.Spec{Version: specs.Version})
		if err != nil {
			t.Fatal(err)
		}
		lock.Close()
		if err := os.WriteFile(c.file("state.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, status, err := c.Status()
		if err == nil && status != specs.StateStopped && r.Pid <= 0 {
			t.Errorf("%s: %s with process %d", data, status, r.Pid)
		}
	})
}
