package state

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzRecord puts any bytes in the place of a container's record and of its run's.
// Another container stays what it is, whatever they say.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"id":"x","name":"y"}`), []byte(`{"version":1,"boot":"b","pid":1}`))
	f.Add([]byte(`{"version":99,"spec":{"Mounts":null}}`), []byte(`{`))
	f.Fuzz(func(t *testing.T, config, run []byte) {
		s := newStore(t)
		create(t, s, id('a'), "other").Release()
		create(t, s, id('b'), "damaged").Release()
		dir := filepath.Join(s.Dir, containers, id('b'))
		for name, data := range map[string][]byte{configFile: config, runFile: run} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		all, errs := s.List()
		found := false
		for _, c := range all {
			found = found || c.ID == id('a') && c.Name == "other"
			if st, err := c.Status(); err == nil && st.Word == Running {
				t.Errorf("%s runs without a monitor", c.ID)
			}
		}
		if !found || len(all)+len(errs) < 2 {
			t.Errorf("listed %d, errors %v", len(all), errs)
		}
		if c, err := s.Lookup("other"); err != nil || c.ID != id('a') {
			t.Errorf("look up: %v", err)
		}
		_, _ = s.Lookup("damaged")
		_, _ = s.Lookup(id('b'))
		if err := s.Sweep(func(string) error { return nil }); err != nil {
			t.Errorf("sweep: %v", err)
		}
	})
}
