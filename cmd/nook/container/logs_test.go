package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/logs"
)

// TestMain doubles as the monitor of a running container, which writes what it
// reads to the container's log.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LOGS_MONITOR"); dir != "" {
		if err := beMonitor(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func beMonitor(dir string) error {
	c, w, err := newContainer(dir, "live", spec.Log{MaxSize: 2000, MaxFiles: 500})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := w.Write(logs.Stdout, append(in.Bytes(), '\n'), noon); err != nil {
			return err
		}
	}
	err = w.Close()
	c.Release()
	return err
}

// newContainer makes a container that this process holds, with its log open.
func newContainer(dir, name string, log spec.Log) (*state.Container, logs.Writer, error) {
	id := fmt.Sprintf("%x", name) + strings.Repeat("0", 64)
	s := state.Store{Dir: dir, Run: dir}
	c, err := s.Create(state.Config{ID: id[:64], Name: name, Created: noon, Command: []string{"x"}, Spec: spec.Container{Log: log}})
	if err == nil {
		err = c.Commit()
	}
	if err != nil {
		return nil, nil, err
	}
	cfg, err := monitor.LogConfig(c)
	if err != nil {
		return nil, nil, err
	}
	w, err := logs.Open(cfg)
	return c, w, err
}

// ended makes a container that wrote its name and a number, each hour after noon
// that is named; odd ones to standard error.
func ended(t *testing.T, dir, name string, log spec.Log, hours ...int) {
	t.Helper()
	c, w, err := newContainer(dir, name, log)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hours {
		if err := w.Write(logs.Stream(h%2), fmt.Appendf(nil, "%s %d\n", name, h), noon.Add(time.Duration(h)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	c.Release()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// run executes "logs" and returns what it printed.
func run(t *testing.T, dir string, args ...string) (out, errs string, err error) {
	t.Helper()
	var files [2]*os.File
	for i := range files {
		if files[i], err = os.CreateTemp(t.TempDir(), ""); err != nil {
			t.Fatal(err)
		}
		defer files[i].Close()
	}
	err = command(t.Context(), dir, files[0], files[1], args...)
	var text [2]string
	for i, f := range files {
		data, rerr := os.ReadFile(f.Name())
		if rerr != nil {
			t.Fatal(rerr)
		}
		text[i] = string(data)
	}
	return text[0], text[1], err
}

func command(ctx context.Context, dir string, out, errs *os.File, args ...string) error {
	f := &cmdutil.Factory{
		Streams: cmdutil.Streams{Out: out, Err: errs},
		Paths:   func() (config.Paths, error) { return config.Paths{Data: dir, Run: dir}, nil },
	}
	cmd := newLogs(f)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	return cmd.ExecuteContext(ctx)
}

func TestLogs(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	dir := t.TempDir()
	ended(t, dir, "a", spec.Log{}, 1, 2, 4, 6)
	ended(t, dir, "b", spec.Log{Driver: logs.JSONFile, Path: filepath.Join(t.TempDir(), "b")}, 2, 3, 5)
	idA, idB := "610000000000", "620000000000"
	for _, c := range []struct{ args, out, errs string }{
		{"a", "a 2\na 4\na 6\n", "a 1\n"},
		{"--tail 2 a", "a 4\na 6\n", ""},
		{"-n all -t a", "2026-01-02T14:00:00.000000000Z a 2\n2026-01-02T16:00:00.000000000Z a 4\n2026-01-02T18:00:00.000000000Z a 6\n", "2026-01-02T13:00:00.000000000Z a 1\n"},
		{"--since 2026-01-02T14:30:00Z --until 2026-01-02T17:00:00Z a", "a 4\n", ""},
		{"--names a", "a 2\na 4\na 6\n", "a 1\n"},
		{"-f a", "a 2\na 4\na 6\n", "a 1\n"},
		{"a b", idA + " a 2\n" + idB + " b 2\n" + idA + " a 4\n" + idA + " a 6\n", idA + " a 1\n" + idB + " b 3\n" + idB + " b 5\n"},
		{"--names -n 1 a b", "a a 6\n", "b b 5\n"},
		{"--names --color -n 1 -t a b", "\x1b[31ma\x1b[0m 2026-01-02T18:00:00.000000000Z a 6\n", "\x1b[32mb\x1b[0m 2026-01-02T17:00:00.000000000Z b 5\n"},
	} {
		out, errs, err := run(t, dir, strings.Fields(c.args)...)
		if err != nil || out != c.out || errs != c.errs {
			t.Errorf("logs %s: %v\ngot  %q\n     %q\nwant %q\n     %q", c.args, err, out, errs, c.out, c.errs)
		}
	}
}

func TestLogsRefuses(t *testing.T) {
	dir := t.TempDir()
	ended(t, dir, "a", spec.Log{}, 2)
	ended(t, dir, "quiet", spec.Log{Driver: logs.None})
	for args, want := range map[string]string{
		"":               "needs a container",
		"nobody":         "no such container",
		"a nobody":       "no such container",
		"quiet":          "its log driver is none",
		"--tail x a":     "--tail",
		"--tail -2 a":    "--tail",
		"--since then a": "--since",
		"--until now a":  "--until",
		"--latest a":     "exclude each other",
	} {
		out, _, err := run(t, dir, strings.Fields(args)...)
		if err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("logs %s: %v, printed %q", args, err, out)
		}
	}
}

// --until counts from now on where the log is followed, else back.
func TestUntil(t *testing.T) {
	for _, follow := range []bool{false, true} {
		o := logsOptions{tail: "all", until: "1h", follow: follow}
		r, err := o.read(noon)
		want := noon.Add(-time.Hour)
		if follow {
			want = noon.Add(time.Hour)
		}
		if err != nil || !r.Until.Equal(want) {
			t.Errorf("follow %v: %v, %v", follow, r.Until, err)
		}
	}
}

// A log is followed until its container's monitor has gone, to its last line.
func TestLogsFollow(t *testing.T) {
	dir := t.TempDir()
	for _, kill := range []bool{false, true} {
		mon := exec.Command(os.Args[0])
		mon.Env = append(os.Environ(), "LOGS_MONITOR="+dir)
		in, err := mon.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		said, err := mon.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := mon.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(said).ReadString('\n'); line != "ready\n" {
			t.Fatalf("monitor: %q, %v", line, err)
		}
		var want strings.Builder
		write := func(n int) {
			text := fmt.Sprintf("line %d\n", n)
			want.WriteString(text)
			if _, err := io.WriteString(in, text); err != nil {
				t.Error(err)
			}
		}
		write(0)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			err := command(t.Context(), dir, w, w, "-f", "live")
			done <- errors.Join(err, w.Close())
		}()
		shown := bufio.NewReader(r)
		var got strings.Builder
		read := func() {
			line, err := shown.ReadString('\n')
			if err != nil {
				t.Error(err)
			}
			got.WriteString(line)
		}
		read() // it follows from here on
		for i := 1; i < 500; i++ {
			write(i)
		}
		for range 499 {
			read()
		}
		if kill {
			if err := mon.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		in.Close()
		_ = mon.Wait() // killed or not
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(shown); len(rest) > 0 || err != nil || got.String() != want.String() {
			t.Errorf("%d bytes of %d, then %q, %v", got.Len(), want.Len(), rest, err)
		}
		r.Close()
		s := state.Store{Dir: dir, Run: dir}
		c, err := s.Lookup("live")
		if err == nil {
			err = c.Hold()
		}
		if err == nil {
			err = c.Remove(func(string) error { return nil })
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Release()
	}
}
