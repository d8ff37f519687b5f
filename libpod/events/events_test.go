package events

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

func read(t *testing.T, l Log, q Query) []Event {
	t.Helper()
	var all []Event
	if err := l.Read(t.Context(), q, func(e Event) error { all = append(all, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAppendAndRead(t *testing.T) {
	l := Log{filepath.Join(t.TempDir(), "not", "there")}
	if got := read(t, l, Query{}); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	at := time.Unix(1000, 0)
	for i := range 5 {
		if err := l.Append(Event{Time: at.Add(time.Duration(i) * time.Second), Name: strconv.Itoa(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		q    Query
		want string
	}{
		"all":   {Query{}, "01234"},
		"since": {Query{Since: at.Add(2 * time.Second)}, "234"},
		"until": {Query{Until: at.Add(2 * time.Second)}, "012"},
		"some":  {Query{Keep: func(e Event) bool { return e.Name > "2" }}, "34"},
	} {
		got := ""
		for _, e := range read(t, l, tc.q) {
			got += e.Name
		}
		if got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

// Many writers and rotations: the two files hold whole lines, in bounds, and a
// follower has seen every event.
func TestFollowAcrossRotation(t *testing.T) {
	l := Log{t.TempDir()}
	const writers, each = 4, 2000 // more than one file of events, less than two
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen, all := map[string]int{}, errors.New("all seen")
	done := make(chan error, 1)
	go func() {
		done <- l.Read(ctx, Query{Follow: true}, func(e Event) error {
			if seen[e.Name]++; len(seen) == writers*each {
				return all
			}
			return nil
		})
	}()
	filler := map[string]string{"filler": strings.Repeat("x", 50)}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := l.Append(Event{Name: strconv.Itoa(w) + "/" + strconv.Itoa(i), Attributes: filler}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := <-done; !errors.Is(err, all) {
		t.Errorf("the follower saw %d of %d events: %v", len(seen), writers*each, err)
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", name, n)
		}
	}
	for _, name := range []string{logFile, oldFile} {
		if fi, err := os.Stat(filepath.Join(l.Dir, name)); err != nil || fi.Size() > 2*maxSize+10<<10 {
			t.Errorf("%s: %v, %d bytes", name, err, fi.Size())
		}
	}
}

func TestCutLineIsSkipped(t *testing.T) {
	l := Log{t.TempDir()}
	if err := l.Append(Event{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(l.Dir, logFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("{\"name\":\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := l.Append(Event{Name: "b"}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, l, Query{}); len(got) != 2 || got[1].Name != "b" {
		t.Errorf("got %v", got)
	}
}

func TestUntilEndsFollowing(t *testing.T) {
	l := Log{t.TempDir()}
	read(t, l, Query{Follow: true, Until: time.Now().Add(50 * time.Millisecond)})
}

// hold opens the newer file and locks it.
func hold(t *testing.T, l Log, lock func(*os.File) error) *os.File {
	t.Helper()
	f, err := l.open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := lock(f); err != nil {
		t.Fatal(err)
	}
	return f
}

// fill appends events until the newer file has so many bytes.
func fill(t *testing.T, l Log, size int64) {
	t.Helper()
	e := Event{Name: strings.Repeat("x", 64<<10)}
	for range 2 + size>>16 {
		if err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
}

func rotated(l Log) bool {
	_, err := os.Stat(filepath.Join(l.Dir, oldFile))
	return err == nil
}

// A file that somebody is about to write to is not renamed under them: a follower
// that has left it would not hear of the event.
func TestNoRotationUnderAWriter(t *testing.T) {
	l := Log{t.TempDir()}
	late := hold(t, l, sys.TryLockShared)
	fill(t, l, maxSize)
	if rotated(l) {
		t.Fatal("renamed under a writer")
	}
	late.Close()
	if err := l.Append(Event{}); err != nil {
		t.Fatal(err)
	}
	if !rotated(l) {
		t.Error("not renamed once nobody writes")
	}
	// The next writer has the new file, whatever it opened first.
	f, err := l.current()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || fi.Size() != 0 {
		t.Errorf("%d bytes, %v", fi.Size(), err)
	}
}

// A process that was stopped with a lock of either kind holds up nobody, and the log
// stays in bounds.
func TestStoppedWriters(t *testing.T) {
	l := Log{t.TempDir()}
	hold(t, l, sys.TryLockShared)
	fill(t, l, 2*maxSize)
	if !rotated(l) {
		t.Error("grows for ever")
	}
	hold(t, l, sys.TryLock)
	if err := l.Append(Event{Name: "last"}); err != nil {
		t.Error(err)
	}
	if all := read(t, l, Query{Keep: func(e Event) bool { return e.Name == "last" }}); len(all) != 1 {
		t.Errorf("got %v", all)
	}
}
