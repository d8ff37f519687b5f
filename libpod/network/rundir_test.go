package network

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A process that still writes files into the directory is not in the way.
func TestRemoveRunDirWhileWrittenTo(t *testing.T) {
	for range 50 {
		dir := filepath.Join(t.TempDir(), "n")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 5 {
				name := filepath.Join(dir, string(rune('a'+i)))
				if err := os.WriteFile(name, nil, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
			}
		}()
		if err := removeRunDir(dir); err != nil {
			t.Error(err)
		}
		<-done
	}
}
