package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/logs"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// journal is a directory that stands for the journal, read by a program with
// journalctl's command line: entries are lines of the file "entries", cursors
// their numbers; --follow goes on with the lines of the FIFO "new".
func journal(t *testing.T, entries ...string) (dir, prog string) {
	t.Helper()
	dir = t.TempDir()
	prog = filepath.Join(dir, "journalctl")
	script := `#!/bin/sh
after=0
for a; do
	case $a in
	--after-cursor=*) after=${a#*=} ;;
	--follow) follow=1 ;;
	CONTAINER_ID_FULL=abc) id=1 ;;
	esac
done
echo "$@" >>"` + dir + `/calls"
test "$id" || exit 1
tail -n +$((after + 1)) "` + dir + `/entries"
if test "$follow"; then exec cat "` + dir + `/new"; fi
`
	if err := os.WriteFile(prog, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(entries, "\n")
	if text != "" {
		text += "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "entries"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, prog
}

func line(n int, message, more string) string {
	return fmt.Sprintf(`{"__CURSOR":"%d","__REALTIME_TIMESTAMP":"%d","MESSAGE":%s,"PRIORITY":"6"%s}`, n, noon.Add(time.Duration(n)*time.Second).UnixMicro(), message, more)
}

func drain(t *testing.T, r *Reader) []string {
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
		text := fmt.Sprintf("%v %v %q", rec.Time.Sub(noon), rec.Stream, rec.Line)
		if rec.Start {
			lines = append(lines, text)
		} else {
			lines[len(lines)-1] += "+" + string(rec.Line)
		}
	}
}

func TestRead(t *testing.T) {
	_, prog := journal(t,
		line(1, `"one"`, ""), line(2, `[255,10,65]`, ""), line(3, `"three"`, `,"PRIORITY":"3"`),
		line(4, `"four "`, `,"CONTAINER_PARTIAL_MESSAGE":"true"`), line(5, `"goes on"`, ""),
		line(6, `"six"`, `,"SYSLOG_TIMESTAMP":"2026-01-02T12:00:06.000000007Z"`))
	all := []string{`1s stdout "one"`, `2s stdout "\xff\nA"`, `3s stderr "three"`, `4s stdout "four "+goes on`, `6.000000007s stdout "six"`}
	for _, c := range []struct {
		o    logs.ReadOptions
		want []string
	}{
		{logs.ReadOptions{Tail: logs.All}, all},
		{logs.ReadOptions{Tail: 2}, all[3:]},
		{logs.ReadOptions{Tail: 0}, all[5:]},
		{logs.ReadOptions{Tail: 9}, all},
		{logs.ReadOptions{Tail: logs.All, Since: noon.Add(2500 * time.Millisecond)}, all[2:]},
		{logs.ReadOptions{Tail: 1, Until: noon.Add(5 * time.Second)}, all[3:4]},
	} {
		r, err := openWith(t.Context(), prog, "abc", End{}, c.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := drain(t, r); !slices.Equal(got, c.want) {
			t.Errorf("%+v:\ngot  %q\nwant %q", c.o, got, c.want)
		}
		if err := r.Wait(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("not followed, yet: %v", err)
		}
		r.Close()
	}
}

// What is written while journalctl follows comes at once; what only the journal
// has when the container ends comes too, and nothing twice.
func TestFollow(t *testing.T) {
	dir, prog := journal(t, line(1, `"one"`, ""))
	fifo := filepath.Join(dir, "new")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := openWith(t.Context(), prog, "abc", End{}, logs.ReadOptions{Tail: logs.All, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := drain(t, r); len(got) != 1 {
		t.Errorf("%q", got)
	}
	opened := make(chan *os.File, 1)
	go func() {
		f, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits for the reader
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintln(f, line(2, `"two"`, ""))
		opened <- f
	}()
	if err := r.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := drain(t, r); !slices.Equal(got, []string{`2s stdout "two"`}) {
		t.Errorf("%q", got)
	}
	f := <-opened
	defer f.Close()
	journal := strings.Join([]string{line(1, `"one"`, ""), line(2, `"two"`, ""), line(3, `"three"`, "")}, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "entries"), []byte(journal), 0o600); err != nil {
		t.Fatal(err)
	}
	r.End()
	if err := r.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := drain(t, r); !slices.Equal(got, []string{`3s stdout "three"`}) {
		t.Errorf("%q", got)
	}
	if err := r.Wait(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

func TestTroubles(t *testing.T) {
	if _, err := openWith(t.Context(), filepath.Join(t.TempDir(), "journalctl"), "abc", End{}, logs.ReadOptions{Tail: logs.All}); err == nil {
		t.Error("no journalctl, no error")
	}
	for name, text := range map[string]string{"no json": "hello", "no time": `{"MESSAGE":"a"}`, "no message": `{"__REALTIME_TIMESTAMP":"1"}`} {
		_, prog := journal(t, text)
		r, err := openWith(t.Context(), prog, "abc", End{}, logs.ReadOptions{Tail: logs.All})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Next(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
		r.Close()
	}
	_, prog := journal(t)
	r, err := openWith(t.Context(), prog, "another", End{}, logs.ReadOptions{Tail: logs.All})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("journalctl failed, yet: %v", err)
	}
}

// mark is the entry behind the last one of a run.
func mark(n int, run string) string {
	return fmt.Sprintf(`{"__CURSOR":"%d","__REALTIME_TIMESTAMP":"%d","NOOK_RUN":%q}`, n, noon.UnixMicro(), run)
}

// A container that has just ended is read up to its mark, which is not shown, with
// what the journal takes in late; one whose mark never comes, up to a moment.
func TestLateEntries(t *testing.T) {
	for name, tc := range map[string]struct {
		o      logs.ReadOptions
		run    string
		by     time.Duration // from now
		there  []string
		late   []string
		follow bool
		want   []string
	}{
		"all there":      {logs.ReadOptions{Tail: logs.All}, "r1", time.Hour, []string{line(1, `"one"`, ""), mark(2, "r1")}, nil, false, []string{`1s stdout "one"`}},
		"late":           {logs.ReadOptions{Tail: logs.All}, "r1", time.Hour, []string{line(1, `"one"`, "")}, []string{line(2, `"two"`, ""), mark(3, "r1")}, false, []string{`1s stdout "one"`, `2s stdout "two"`}},
		"tail":           {logs.ReadOptions{Tail: 1}, "r1", time.Hour, []string{line(1, `"one"`, "")}, []string{line(2, `"two"`, ""), mark(3, "r1")}, false, []string{`2s stdout "two"`}},
		"an earlier run": {logs.ReadOptions{Tail: logs.All}, "r2", time.Hour, []string{mark(1, "r1")}, []string{line(2, `"two"`, ""), mark(3, "r2")}, false, []string{`2s stdout "two"`}},
		"followed":       {logs.ReadOptions{Tail: logs.All, Follow: true}, "r1", time.Hour, nil, []string{line(1, `"one"`, ""), mark(2, "r1")}, true, []string{`1s stdout "one"`}},
		"lost":           {logs.ReadOptions{Tail: logs.All}, "r1", 50 * time.Millisecond, []string{line(1, `"one"`, "")}, []string{}, false, []string{`1s stdout "one"`}},
		"long ago":       {logs.ReadOptions{Tail: logs.All}, "r1", -time.Hour, []string{line(1, `"one"`, "")}, nil, false, []string{`1s stdout "one"`}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, prog := journal(t, tc.there...)
			fifo := filepath.Join(dir, "new")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(fifo, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for _, l := range tc.late {
				fmt.Fprintln(f, l)
			}
			last := End{tc.run, time.Now().Add(tc.by)}
			r, err := openWith(t.Context(), prog, "abc", last, tc.o)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if tc.follow {
				r.EndWith(last)
			}
			var got []string
			for err == nil {
				got = append(got, drain(t, r)...)
				err = r.Wait(t.Context())
			}
			if !errors.Is(err, io.EOF) || !slices.Equal(got, tc.want) {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}
