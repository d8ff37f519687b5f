package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 123, time.UTC)

func open(t testing.TB, c Config) *file {
	t.Helper()
	w, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := w.(*file)
	if !ok {
		t.Fatalf("%T", w)
	}
	return f
}

func write(t testing.TB, w Writer, s Stream, text string) {
	t.Helper()
	if err := w.Write(s, []byte(text), noon); err != nil {
		t.Fatal(err)
	}
}

func closeIt(t testing.TB, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// collect reads a log as it is; stderr lines begin with "!".
func collect(t testing.TB, path string, o ReadOptions) []string {
	t.Helper()
	r, err := OpenReader(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return drain(t, r)
}

func drain(t testing.TB, r Source) []string {
	t.Helper()
	lines := []string{}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		text := string(rec.Line)
		if rec.Stream == Stderr {
			text = "!" + text
		}
		if rec.Start {
			lines = append(lines, text)
		} else {
			lines[len(lines)-1] += text
		}
	}
}

func TestK8sFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	w := open(t, Config{Driver: K8sFile, Path: path})
	write(t, w, Stdout, "one\ntwo")
	write(t, w, Stderr, "bad \xff\n")
	write(t, w, Stdout, "\n\n")
	closeIt(t, w)
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "2026-01-02T12:00:00.000000123Z stdout F one\n" +
		"2026-01-02T12:00:00.000000123Z stdout P two\n" +
		"2026-01-02T12:00:00.000000123Z stderr F bad \xff\n" +
		"2026-01-02T12:00:00.000000123Z stdout F \n" +
		"2026-01-02T12:00:00.000000123Z stdout F \n"
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want mode 600", fi.Mode(), err)
	}
}

// Docker's readers are encoding/json: each line must be an object that has the
// text again.
func TestJSONFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	w := open(t, Config{Driver: JSONFile, Path: path, Tag: `a"b`})
	write(t, w, Stdout, "é <\"\\\t\x01\r\n")
	write(t, w, Stderr, "\xff half")
	write(t, w, Stdout, "euro \xe2\x82")
	write(t, w, Stdout, "\xac\n")
	closeIt(t, w)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	type record struct {
		Log, Stream string
		Attrs       map[string]string
		Time        time.Time
	}
	var got []record
	for line := range bytes.Lines(data) {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if r.Attrs["tag"] != `a"b` || !r.Time.Equal(noon) {
			t.Errorf("tag or time: %s", line)
		}
		got = append(got, record{Log: r.Log, Stream: r.Stream})
	}
	want := []record{
		{Log: "é <\"\\\t\x01\r\n", Stream: "stdout"},
		{Log: "\ufffd half", Stream: "stderr"},
		{Log: "euro ", Stream: "stdout"},
		{Log: "€\n", Stream: "stdout"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := collect(t, path, ReadOptions{Tail: All}); !slices.Equal(got, []string{"é <\"\\\t\x01\r", "!\ufffd half", "euro €"}) {
		t.Errorf("read back %q", got)
	}
}

func TestLongLines(t *testing.T) {
	for _, driver := range []string{K8sFile, JSONFile} {
		path := filepath.Join(t.TempDir(), "ctr.log")
		w := open(t, Config{Driver: driver, Path: path})
		var want []string
		for _, n := range []int{MaxPiece - 1, MaxPiece, MaxPiece + 1, 5*MaxPiece + 7, 0, 3} {
			line := strings.Repeat("€", n)[:n-n%3] + strings.Repeat("x", n%3)
			want = append(want, line)
			write(t, w, Stdout, line+"\n")
		}
		closeIt(t, w)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(data, []byte{'\n'}); n < 11 || n > 13 {
			t.Errorf("%s: %d records", driver, n)
		}
		if got := collect(t, path, ReadOptions{Tail: All}); !slices.Equal(got, want) {
			t.Errorf("%s: lines differ", driver)
		}
	}
}

// files returns the sizes of a log's files by name.
func files(t testing.TB, dir string) map[string]int64 {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int64{}
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = fi.Size()
	}
	return all
}

func TestRotationKeepsBoundsAndTheLatest(t *testing.T) {
	for _, c := range []Config{
		{Driver: K8sFile, MaxSize: 4000, MaxFiles: 3},
		{Driver: JSONFile, MaxSize: 4000},
		{Driver: K8sFile, MaxSize: 1000, MaxFiles: 1},
		{Driver: K8sFile, MaxSize: 10, MaxFiles: 5},
		{Driver: JSONFile, MaxSize: Unlimited},
	} {
		t.Run(fmt.Sprint(c.Driver, c.MaxSize, c.MaxFiles), func(t *testing.T) {
			dir := t.TempDir()
			c.Path = filepath.Join(dir, "ctr.log")
			var want []string
			for run := range 3 { // the container is started again
				w := open(t, c)
				for i := range 100 {
					var chunk strings.Builder
					for j := range i % 7 {
						line := fmt.Sprintf("line %d %d %d", run, i, j)
						want = append(want, line)
						chunk.WriteString(line + "\n")
					}
					write(t, w, Stdout, chunk.String())
				}
				closeIt(t, w)
			}
			got := collect(t, c.Path, ReadOptions{Tail: All})
			if len(got) == 0 || !slices.Equal(got, want[len(want)-len(got):]) {
				t.Fatalf("%d lines are not the last of %d", len(got), len(want))
			}
			var total, filled int64
			for name, size := range files(t, dir) {
				total += size
				if size > 0 {
					filled++
				}
				if c.MaxSize > 100 && size > c.MaxSize {
					t.Errorf("%s has %d bytes", name, size)
				}
			}
			switch {
			case c.MaxSize == Unlimited:
				if len(got) != len(want) || filled != 1 {
					t.Errorf("unlimited log lost lines: %d of %d in %d files", len(got), len(want), filled)
				}
			case c.MaxFiles == 0 && filled != DefaultMaxFiles, c.MaxFiles != 0 && filled != int64(c.MaxFiles):
				t.Errorf("%d files", filled)
			case c.MaxSize > 100 && total < c.MaxSize*(filled-1)*9/10:
				t.Errorf("only %d bytes in %d files", total, filled)
			}
		})
	}
}

// A killed writer leaves half a record; the next one goes on behind it.
func TestContinueBehindHalfARecord(t *testing.T) {
	for _, driver := range []string{K8sFile, JSONFile} {
		path := filepath.Join(t.TempDir(), "ctr.log")
		w := open(t, Config{Driver: driver, Path: path})
		write(t, w, Stdout, "one\ntwo\n")
		closeIt(t, w)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, int64(len(data)-3)); err != nil {
			t.Fatal(err)
		}
		if got := collect(t, path, ReadOptions{Tail: All}); !slices.Equal(got, []string{"one"}) {
			t.Errorf("%s: whole lines are %q", driver, got)
		}
		w = open(t, Config{Driver: driver, Path: path})
		write(t, w, Stdout, "three\n")
		closeIt(t, w)
		if got := collect(t, path, ReadOptions{Tail: All}); got[0] != "one" || got[len(got)-1] != "three" {
			t.Errorf("%s: %q", driver, got)
		}
		now, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(now, data[:len(data)-3]) {
			t.Errorf("%s: the file was cut: %q, %v", driver, now, err)
		}
	}
}

func TestTwoWritersOfOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	w := open(t, Config{Driver: K8sFile, Path: path, MaxSize: 100})
	if _, err := Open(Config{Driver: K8sFile, Path: path}); err == nil || !strings.Contains(err.Error(), "another container") {
		t.Errorf("second writer: %v", err)
	}
	write(t, w, Stdout, strings.Repeat("a\n", 100)) // rotates
	if _, err := Open(Config{Driver: K8sFile, Path: path}); err == nil {
		t.Error("second writer after a rotation")
	}
	closeIt(t, w)
	closeIt(t, open(t, Config{Driver: K8sFile, Path: path}))
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []Config{
		{Driver: "syslog"},
		{Driver: K8sFile},
		{Driver: K8sFile, Path: "ctr.log"},
		{Driver: K8sFile, Path: dir},
		{Driver: JSONFile, Path: dir + "/no/ctr.log"},
		{Driver: K8sFile, Path: "/dev/null"},
	} {
		if w, err := Open(c); err == nil {
			t.Errorf("Open(%+v) = %v", c, w)
		}
	}
}

// A log that cannot be written must neither fail the container nor lose what
// comes after the trouble.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ctr.log")
	w := open(t, Config{Driver: K8sFile, Path: path})
	write(t, w, Stdout, "before\n")
	whole := w.f
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.f = full
	if err := w.Write(Stdout, []byte("lost 1\nlost 2\nlost"), noon); err == nil {
		t.Error("a write to a full disk said nothing")
	}
	w.f = whole
	full.Close()
	write(t, w, Stdout, " end\nafter\n")
	err = w.Close()
	lost, ok := errors.AsType[*LostError](err)
	if !ok || lost.Records != 3 || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("Close: %v, want 3 lost", err)
	}
	if got := collect(t, path, ReadOptions{Tail: All}); !slices.Equal(got, []string{"before", " end", "after"}) {
		t.Errorf("%q", got)
	}
}

// What a failing write has put in the file half is taken back.
func TestShortWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	w := open(t, Config{Driver: K8sFile, Path: path})
	write(t, w, Stdout, "before\n")
	if _, err := w.f.WriteString("2026-01-02T12:00:00.0"); err != nil {
		t.Fatal(err)
	}
	w.torn = true // as flush leaves it when its own truncation failed too
	write(t, w, Stdout, "after\n")
	closeIt(t, w)
	if got := collect(t, path, ReadOptions{Tail: All}); !slices.Equal(got, []string{"before", "after"}) {
		t.Errorf("%q", got)
	}
}

// The directory turns read-only for a rotation: bounds hold, the rest is counted.
func TestRotationFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ctr.log")
	w := open(t, Config{Driver: K8sFile, Path: path, MaxSize: 1000})
	if err := os.MkdirAll(path+".1/full", 0o755); err != nil { // cannot be replaced by a file
		t.Fatal(err)
	}
	for range 100 {
		_ = w.Write(Stdout, []byte("a line\n"), noon)
	}
	if fi, err := os.Stat(path); err != nil || fi.Size() > 1000 {
		t.Errorf("out of bounds: %v, %v", fi.Size(), err)
	}
	if err := os.RemoveAll(path + ".1"); err != nil {
		t.Fatal(err)
	}
	kept := len(collect(t, path, ReadOptions{Tail: All}))
	write(t, w, Stdout, "again\n")
	lost, ok := errors.AsType[*LostError](w.Close())
	if !ok || kept == 0 || int(lost.Records)+kept != 100 {
		t.Errorf("kept %d, lost %+v", kept, lost)
	}
	if got := collect(t, path, ReadOptions{Tail: 1}); !slices.Equal(got, []string{"again"}) {
		t.Errorf("%q", got)
	}
}

func TestConfigSurvivesExec(t *testing.T) {
	c := Config{Driver: JSONFile, Path: "/a", MaxSize: Unlimited, MaxFiles: 4, Tag: "t", ID: "i", Name: "n", Image: "m"}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back Config
	if err := json.Unmarshal(data, &back); err != nil || back != c {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestStreamsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	w := open(t, Config{Driver: K8sFile, Path: path, MaxSize: 5000, MaxFiles: 1000})
	var wg sync.WaitGroup
	for s := range streams {
		wg.Go(func() {
			for i := range 1000 {
				if err := w.Write(s, fmt.Appendf(nil, "%d\n", i), noon); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	closeIt(t, w)
	next := [2]int{}
	for _, line := range collect(t, path, ReadOptions{Tail: All}) {
		s, text := 0, line
		if text[0] == '!' {
			s, text = 1, text[1:]
		}
		if text != fmt.Sprint(next[s]) {
			t.Fatalf("stream %d: %s after %d lines", s, text, next[s])
		}
		next[s]++
	}
	if next != [2]int{1000, 1000} {
		t.Errorf("%v lines", next)
	}
}

func BenchmarkWrite(b *testing.B) {
	line := strings.Repeat("x", 79) + "\n"
	chunk := []byte(strings.Repeat(line, 64<<10/len(line)))
	for _, driver := range []string{K8sFile, JSONFile} {
		b.Run(driver, func(b *testing.B) {
			w := open(b, Config{Driver: driver, Path: filepath.Join(b.TempDir(), "ctr.log")})
			b.SetBytes(int64(len(chunk)))
			for b.Loop() {
				if err := w.Write(Stdout, chunk, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
			closeIt(b, w)
		})
	}
}
