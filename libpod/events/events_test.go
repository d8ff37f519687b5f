package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

// Many writers and a rotation: a follower has seen every event once.
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
	// The writers may have kept each other from it to the last; one alone does it.
	if err := l.Append(Event{}); err != nil {
		t.Fatal(err)
	}
	if !rotated(l) {
		t.Error("not rotated")
	}
}

// A writer that was held up writes to the file that it opened, which is the older one
// by then, or neither: a follower hears of that.
func TestLateWriter(t *testing.T) {
	l := Log{t.TempDir()}
	late := hold(t, l, sys.TryLockShared)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := make(chan string, 1000)
	done := make(chan error, 1)
	go func() {
		done <- l.Read(ctx, Query{Follow: true}, func(e Event) error { seen <- e.Name; return nil })
	}()
	await := func(name string) {
		t.Helper()
		for got := range seen {
			if got == name {
				return
			}
		}
	}
	fill(t, l, 2*maxSize) // renamed although late has it
	if !rotated(l) {
		t.Fatal("not rotated")
	}
	if err := l.Append(Event{Name: "new"}); err != nil {
		t.Fatal(err)
	}
	await("new")
	if _, err := late.WriteString(`{"name":"late"}` + "\n"); err != nil {
		t.Fatal(err)
	}
	await("late")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The two files of a pair belong together, however fast they take each other's place.
func TestPair(t *testing.T) {
	l := Log{t.TempDir()}
	path, oldPath := filepath.Join(l.Dir, logFile), filepath.Join(l.Dir, oldFile)
	ended := make(chan error, 1)
	var stop atomic.Bool
	go func() {
		for n := 0; ; n++ {
			err := os.WriteFile(path, []byte(strconv.Itoa(n)+"\n"), 0o600)
			if err == nil {
				err = os.Rename(path, oldPath)
			}
			if err != nil || stop.Load() {
				ended <- err
				return
			}
		}
	}()
	number := func(x *tail) int {
		if x == nil {
			return -1
		}
		b, err := io.ReadAll(x.f)
		if err != nil {
			t.Error(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return -1 // not written yet
		}
		return n
	}
	pairs := 0
	late := time.Now().Add(time.Minute)
	for i := 0; i < 2000 || pairs == 0 && time.Now().Before(late); i++ { // on a busy machine the writer may not run yet
		old, now, err := l.pair()
		if err != nil {
			t.Fatal(err)
		}
		a, b := number(old), number(now)
		if a >= 0 && b >= 0 {
			if pairs++; a != b-1 {
				t.Errorf("%d is before %d", a, b)
			}
		}
		old.close()
		now.close()
	}
	stop.Store(true)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if pairs == 0 {
		t.Error("never saw two files")
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

// What is appended at once stays together, whoever else writes.
func TestAppendSeveral(t *testing.T) {
	l := Log{Dir: t.TempDir()}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for range 50 {
				if err := l.Append(Event{Name: strconv.Itoa(w), Action: Died}, Event{Name: strconv.Itoa(w), Action: Cleanup}, Event{Name: strconv.Itoa(w), Action: Remove}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	data, err := os.ReadFile(filepath.Join(l.Dir, logFile))
	if err != nil {
		t.Fatal(err)
	}
	var all []Event
	for line := range bytes.Lines(data) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	if len(all) != 4*50*3 {
		t.Fatalf("%d events", len(all))
	}
	for three := range slices.Chunk(all, 3) {
		if three[0].Action != Died || three[1].Action != Cleanup || three[2].Action != Remove || three[0].Name != three[1].Name || three[1].Name != three[2].Name {
			t.Fatalf("not together: %v", three)
		}
	}
}
