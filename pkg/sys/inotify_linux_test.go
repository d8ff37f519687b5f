package sys_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

func TestWatchDir(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "a")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	w, err := sys.WatchDir(d)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if got, err := w.Poll(); err != nil || len(got) > 0 {
		t.Errorf("nothing happened: %v, %v", got, err)
	}
	if err := os.Rename(dir, filepath.Join(base, "b")); err != nil { // it stays watched
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(base, "b", "new"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(f.Name(), f.Name()+"er"); err != nil {
		t.Fatal(err)
	}
	want := []sys.Change{{}, {Name: "new", Added: true}, {Name: "new"}, {Name: "newer", Added: true}}
	var got []sys.Change
	for len(got) < len(want) {
		more, err := w.Wait()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, more...)
	}
	for i, c := range want {
		if got[i] != c {
			t.Errorf("change %d is %+v, want %+v", i, got[i], c)
		}
	}
}

func TestWatchDeadline(t *testing.T) {
	d, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	w, err := sys.WatchDir(d)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = w.SetDeadline(time.Unix(1, 0)) }() // while the other waits, or before
	if _, err := w.Wait(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Wait: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Wait(); err == nil {
		t.Error("waits on a closed watch")
	}
}

func TestWatchOfAFile(t *testing.T) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if w, err := sys.WatchDir(f); err == nil {
		t.Errorf("watches a file: %v", w)
	}
}
