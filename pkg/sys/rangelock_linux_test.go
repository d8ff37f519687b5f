package sys

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestLockRange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	a, b := open(), open()
	defer b.Close()
	if err := LockRange(a, 100, 50); err != nil {
		t.Fatal(err)
	}
	if err := LockRange(b, 149, 10); !errors.Is(err, ErrLocked) {
		t.Errorf("a byte is locked twice: %v", err)
	}
	if err := LockRange(b, 150, 10); err != nil {
		t.Errorf("the bytes after it: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := LockRange(b, 100, 50); err != nil {
		t.Errorf("after its end: %v", err)
	}
}
