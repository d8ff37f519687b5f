package cgroups

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

// A file of cgroupfs is watched as this one: no controller is needed for it.
func TestNotices(t *testing.T) {
	g := mustMake(t, filepath.Join(tree(t), "g"))
	sleeper(t, g)
	f, err := os.Open(filepath.Join(g.Dir(), events))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan uint64, 8)
	ended := make(chan error)
	go func() {
		ended <- sys.Notices(f, func() {
			buf := make([]byte, 256)
			n, _ := f.ReadAt(buf, 0)
			seen <- flat(string(buf[:n]))[eventFrozen]
		})
	}()
	next := func(want uint64) {
		t.Helper()
		for {
			select {
			case got := <-seen:
				if got == want {
					return
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("not told of frozen %d", want)
			}
		}
	}
	next(0)
	for range 3 {
		if err := Freeze(g.Dir(), 10*time.Second); err != nil {
			t.Fatal(err)
		}
		next(1)
		if err := Thaw(g.Dir()); err != nil {
			t.Fatal(err)
		}
		next(0)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("no error")
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
}

// What was counted before the end of a watch is told of before it.
func TestOOMWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), memoryEvents)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("max 7\noom 0\noom_kill 0\n")
	told := 0
	w, err := WatchOOM(filepath.Dir(path), time.Hour, func() { told++ })
	if err != nil {
		t.Fatal(err)
	}
	write("max 9\noom 1\noom_kill 2\n")
	if err := w.Close(); err != nil || told != 1 {
		t.Errorf("told %d times, %v", told, err)
	}
	w, err = WatchOOM(t.TempDir(), time.Hour, nil)
	if w != nil || err != nil || w.Close() != nil {
		t.Errorf("nothing counts: %v, %v", w, err)
	}
}
