package machine

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// mortal is a machine that dies under the first runs.
type mortal struct {
	Machine

	deaths, boots, runs int
}

func (m *mortal) Run(context.Context, Command) (int, error) {
	m.runs++
	if m.runs <= m.deaths {
		return 0, ErrEnded
	}
	return 0, nil
}

func (m *mortal) Renew(context.Context) error { m.boots++; return nil }
func (m *mortal) Console() string             { return "panic" }

// Scripts are run once more in a machine that died, and once only.
func TestDeadMachine(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "script"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "script", "a.txtar"), []byte("# a\n# machines: vm\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for deaths, want := range []error{nil, nil, ErrEnded} {
		m := &mortal{deaths: deaths}
		err := Test(t.Context(), m, "vm", dir, io.Discard)
		if !errors.Is(err, want) || want == nil && err != nil || m.boots != min(deaths, 1) || m.runs != 1+min(deaths, 1) {
			t.Errorf("%d deaths: %v, %d boots, %d runs", deaths, err, m.boots, m.runs)
		}
	}
}
