package logs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain doubles as a process that writes a log until it is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("LOGS_WRITER"); path != "" {
		w, err := Open(Config{Driver: os.Getenv("LOGS_DRIVER"), Path: path, MaxSize: 100_000, MaxFiles: 1000})
		for i := 0; err == nil; i += 10 {
			var chunk strings.Builder
			for j := range 10 {
				fmt.Fprintf(&chunk, "line %d %s\n", i+j, strings.Repeat("x", (i+j)%700))
			}
			err = w.Write(Stdout, []byte(chunk.String()), time.Now())
			if i == 1000 {
				fmt.Println("going")
			}
		}
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A SIGKILL at any moment leaves every whole line readable, in order, without a
// gap; the next writer goes on behind them.
func TestKilledWriter(t *testing.T) {
	for i := range 6 {
		driver := []string{K8sFile, JSONFile}[i%2]
		path := filepath.Join(t.TempDir(), "ctr.log")
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "LOGS_WRITER="+path, "LOGS_DRIVER="+driver)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		kerr := cmd.Process.Kill()
		_ = cmd.Wait() // killed
		if line != "going\n" || err != nil || kerr != nil {
			t.Fatalf("writer said %q, %v, %v", line, err, kerr)
		}
		before := collect(t, path, ReadOptions{Tail: All})
		w := open(t, Config{Driver: driver, Path: path, MaxSize: 100_000, MaxFiles: 1000})
		write(t, w, Stderr, "next run\n")
		closeIt(t, w)
		got := collect(t, path, ReadOptions{Tail: All})
		if got[len(got)-1] != "!next run" || len(got) < len(before)+1 || len(before) < 1000 {
			t.Fatalf("%d lines, then %d", len(before), len(got))
		}
		for n, line := range before {
			if want := fmt.Sprintf("line %d %s", n, strings.Repeat("x", n%700)); line != want || got[n] != want {
				t.Fatalf("line %d is %q, then %q", n, line, got[n])
			}
		}
	}
}

// A log in use has an end for who does not follow it.
func TestSnapshot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	w := open(t, Config{Driver: K8sFile, Path: path})
	write(t, w, Stdout, "one\n")
	for _, tail := range []int{All, 10} {
		r, err := OpenReader(path, ReadOptions{Tail: tail})
		if err != nil {
			t.Fatal(err)
		}
		write(t, w, Stdout, "two\n")
		if got := drain(t, r); got[0] != "one" || slices.Contains(got, "two") != (tail == 10) || len(got) > 2 {
			t.Errorf("tail %d: %q", tail, got)
		}
		closeIt(t, r)
	}
	closeIt(t, w)
}

// The tail is the last lines of those selected, as found by reading everything.
func TestTail(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 40 {
		path := filepath.Join(t.TempDir(), "ctr.log")
		w := open(t, Config{Driver: []string{K8sFile, JSONFile}[round%2], Path: path, MaxSize: 1 << (10 + rng.IntN(10)), MaxFiles: 50})
		now := noon
		for range rng.IntN(300) {
			text := strings.Repeat("y", rng.IntN(1<<rng.IntN(17)))
			if rng.IntN(3) > 0 {
				text += "\n"
			}
			now = now.Add(time.Second)
			if err := w.Write(Stream(rng.IntN(2)), []byte(text), now); err != nil {
				t.Fatal(err)
			}
		}
		closeIt(t, w)
		for _, o := range []ReadOptions{{}, {Since: noon.Add(50 * time.Second)}, {Until: noon.Add(100 * time.Second)}} {
			o.Tail = All
			all := starts(t, path, o)
			for _, n := range []int{0, 1, 2, 3, 10, 1000} {
				o.Tail = n
				want := all[max(0, len(all)-n):]
				if got := starts(t, path, o); !slices.Equal(got, want) {
					t.Fatalf("round %d, %+v:\n%q, want\n%q", round, o, got, want)
				}
			}
		}
	}
}

// starts returns time, stream and length of each line, by where it begins.
func starts(t *testing.T, path string, o ReadOptions) []string {
	t.Helper()
	r, err := OpenReader(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all := []string{}
	at, sizes := [2]int{-1, -1}, []int{}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.Start {
			at[rec.Stream] = len(all)
			all, sizes = append(all, fmt.Sprint(rec.Time.Sub(noon), rec.Stream)), append(sizes, 0)
		}
		if at[rec.Stream] < 0 {
			t.Fatalf("a line goes on that never began: %.40q", rec.Line)
		}
		sizes[at[rec.Stream]] += len(rec.Line)
	}
	for i := range all {
		all[i] += fmt.Sprint(" ", sizes[i])
	}
	return all
}

func TestSinceUntil(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	w := open(t, Config{Driver: K8sFile, Path: path})
	for i := range 5 {
		if err := w.Write(Stdout, fmt.Appendf(nil, "%d\n", i), noon.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	closeIt(t, w)
	at := func(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }
	for _, c := range []struct {
		o    ReadOptions
		want string
	}{
		{ReadOptions{Tail: All, Since: at(2)}, "2 3 4"},
		{ReadOptions{Tail: All, Until: at(1)}, "0 1"},
		{ReadOptions{Tail: All, Since: at(1), Until: at(3)}, "1 2 3"},
		{ReadOptions{Tail: 2, Until: at(3)}, "2 3"},
		{ReadOptions{Tail: All, Since: at(9)}, ""},
		{ReadOptions{Tail: All, Follow: true, Until: at(2)}, "0 1 2"},
	} {
		r, err := OpenReader(path, c.o)
		if err != nil {
			t.Fatal(err)
		}
		// One that follows ends by itself: its time is over.
		if got := strings.Join(<-follow(t, r), " "); got != c.want {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
		closeIt(t, r)
		if got := strings.Join(collect(t, path, ReadOptions{Tail: c.o.Tail, Since: c.o.Since, Until: c.o.Until}), " "); got != c.want {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
	}
}

// What others wrote: Docker, conmon, and damage.
func TestForeignLogs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	text := strings.Join([]string{
		`{"log":"docker\n","stream":"stdout","time":"2026-01-02T03:04:05.1Z"}`,
		`{"log":"\u003ca\u003e é \ud83d\ude00\n","stream":"stderr","attrs":{"tag":"x"},"time":"2026-01-02T03:04:06Z"}`,
		`{"time":"2026-01-02T03:04:07Z", "stream":"stdout", "log":"order"}`,
		`{"log":" goes on\n","stream":"stdout","time":"2026-01-02T03:04:07Z"}`,
		`2026-01-02T04:04:08.000000001+01:00 stdout F conmon`,
		`2026-01-02T04:04:08+01:00 stdout F:tag cri`,
		`nonsense`, ``, `{`, `{}`, `{"log":"x\n","stream":"stdin","time":"2026-01-02T03:04:07Z"}`,
		`2026-01-02T04:04:08+01:00 stdlog F x`, `yesterday stdout F x`, `2026-01-02T04:04:08+01:00 stdout X x`,
		strings.Repeat("z", 3*maxLine),
		`2026-01-02T04:04:08+01:00 stdout F `,
		`2026-01-02T04:04:08+01:00 stdout F half a li`,
	}, "\n")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{"docker", "!<a> é 😀", "order goes on", "conmon", "cri", ""}
	if got := collect(t, path, ReadOptions{Tail: All}); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := collect(t, path, ReadOptions{Tail: 4}); !slices.Equal(got, want[2:]) {
		t.Errorf("tail: %q", got)
	}
	r, err := OpenReader(path, ReadOptions{Tail: All})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if rec, err := r.Next(); err != nil || rec.Time.Format(TimeFormat) != "2026-01-02T03:04:05.100000000Z" {
		t.Errorf("%v, %v", rec.Time, err)
	}
}

// Files beside the log that only look like parts of it are left alone.
func TestNeighbours(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	for _, name := range []string{".gz", ".01", ".0", ".-1", ".1.gz", "x.1", ".99999999999999999999"} {
		if err := os.WriteFile(path+name, []byte("2026-01-02T03:04:05Z stdout F no\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := open(t, Config{Driver: K8sFile, Path: path, MaxSize: 50, MaxFiles: 2})
	write(t, w, Stdout, "1\n2\n3\n4\n")
	closeIt(t, w)
	if got := collect(t, path, ReadOptions{Tail: All}); !slices.Equal(got, []string{"3", "4"}) {
		t.Errorf("%q", got)
	}
	if n := len(files(t, filepath.Dir(path))); n != 9 {
		t.Errorf("%d files, want 7 neighbours and 2 of ours", n)
	}
}

type textSink struct{ strings.Builder }

func (s *textSink) Put(i int, r Record) error {
	if r.Start {
		fmt.Fprintf(s, "%d:", i)
	}
	s.Write(r.Line)
	if !r.Partial {
		s.WriteString(";")
	}
	return nil
}

func (s *textSink) Flush() error { s.WriteString("|"); return nil }

func TestShowMergesByTime(t *testing.T) {
	var sources []Source
	for c, times := range [][]int{{1, 4, 5}, {2, 3, 6}, {}} {
		path := filepath.Join(t.TempDir(), "ctr.log")
		w := open(t, Config{Driver: K8sFile, Path: path})
		for _, h := range times {
			now := noon.Add(time.Duration(h) * time.Hour)
			if err := errors.Join(w.Write(Stdout, fmt.Appendf(nil, "%d", c), now), w.Write(Stdout, []byte("x\n"), now.Add(10*time.Hour))); err != nil {
				t.Fatal(err)
			}
		}
		closeIt(t, w)
		r, err := OpenReader(path, ReadOptions{Tail: All, Follow: true})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		r.End()
		sources = append(sources, r)
	}
	var out textSink
	if err := Show(t.Context(), sources, &out, true); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimRight(out.String(), "|"), "0:0x;1:1x;1:1x;0:0x;0:0x;1:1x;"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"log":"a\tb\n","stream":"stdout","time":"2026-01-02T03:04:05.1Z"}`))
	f.Add([]byte(`{"log":"\u00e9\ud83d","stream":"stderr","attrs":{"a":"b"},"time":"2026-01-02T03:04:05+01:00"}`))
	f.Add([]byte(`2026-01-02T04:04:08.000000001+01:00 stdout F:x conmon  two`))
	f.Add([]byte(`2026-01-02T04:04:08Z stderr P `))
	f.Fuzz(func(t *testing.T, line []byte) {
		var d decoder
		r, ok := d.decode(bytes.Clone(line))
		if !ok {
			return
		}
		if line[0] != '{' {
			if !bytes.HasSuffix(line, r.Line) || r.Time.IsZero() && !bytes.HasPrefix(line, []byte("0001")) {
				t.Errorf("%q: %+v", line, r)
			}
			return
		}
		// The quick way and the thorough one agree.
		slow, ok := d.decodeAnyJSON(line)
		var v any
		if json.Unmarshal(line, &v) != nil {
			return // e.g. control characters in a string, which only the quick way takes
		}
		if !ok || slow.Partial != r.Partial || slow.Stream != r.Stream || !slow.Time.Equal(r.Time) ||
			string([]rune(string(r.Line))) != string(slow.Line) { // encoding/json replaces what is no UTF-8
			t.Errorf("%q: quick %+v, slow %+v, %v", line, r, slow, ok)
		}
	})
}

// Whatever is written comes back, in both formats, however the chunks fall.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("one\ntwo\n\nthree"), uint8(3))
	f.Add([]byte("\xe2\x82\xac\xff\x00\"\\\n"), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, step uint8) {
		for _, driver := range []string{K8sFile, JSONFile} {
			path := filepath.Join(t.TempDir(), "ctr.log")
			w := open(t, Config{Driver: driver, Path: path, MaxSize: 200, MaxFiles: 100_000})
			for chunk := range slices.Chunk(text, int(step)+1) {
				write(t, w, Stdout, string(chunk))
			}
			closeIt(t, w)
			want := text
			if driver == JSONFile {
				want = []byte(string([]rune(string(text))))
			}
			var got []byte
			r, err := OpenReader(path, ReadOptions{Tail: All})
			if err != nil {
				t.Fatal(err)
			}
			for {
				rec, err := r.Next()
				if err != nil {
					break
				}
				got = append(got, rec.Line...)
				if !rec.Partial {
					got = append(got, '\n')
				}
			}
			closeIt(t, r)
			if !bytes.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", driver, got, want)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	line := strings.Repeat("x", 79) + "\n"
	chunk := []byte(strings.Repeat(line, 64<<10/len(line)))
	for _, driver := range []string{K8sFile, JSONFile} {
		b.Run(driver, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "ctr.log")
			w := open(b, Config{Driver: driver, Path: path, MaxSize: Unlimited})
			for range 1000 {
				write(b, w, Stdout, string(chunk))
			}
			closeIt(b, w)
			b.SetBytes(1000 * int64(len(chunk)))
			for b.Loop() {
				r, err := OpenReader(path, ReadOptions{Tail: All})
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					_, err = r.Next()
				}
				closeIt(b, r)
			}
		})
	}
}
