package logs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/sys"
)

// journald listens as the journal does.
func journald(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// entry takes one message and returns its fields.
func entry(t *testing.T, c *net.UnixConn) map[string]string {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	n, fds, err := sys.RecvFDs(int(f.Fd()), buf, 1)
	if err != nil {
		t.Fatal(err)
	}
	data := buf[:n]
	if len(fds) > 0 {
		data = memfd(t, fds[0])
	}
	fields := map[string]string{}
	for len(data) > 0 {
		line, rest, ok := bytes.Cut(data, []byte{'\n'})
		if !ok {
			t.Fatalf("field without end: %q", data)
		}
		if name, value, ok := bytes.Cut(line, []byte{'='}); ok {
			fields[string(name)], data = string(value), rest
			continue
		}
		size := binary.LittleEndian.Uint64(rest)
		fields[string(line)], data = string(rest[8:8+size]), rest[8+size+1:]
	}
	return fields
}

func memfd(t *testing.T, fd int) []byte {
	t.Helper()
	f := os.NewFile(uintptr(fd), "entry")
	defer f.Close()
	if _, err := f.WriteAt([]byte{0}, 0); err == nil {
		t.Error("the entry is not sealed")
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	server := journald(t, path)
	id := strings.Repeat("0123456789abcdef", 4)
	w, err := openJournal(Config{ID: id, Name: "web", Image: "img", Tag: "tag"}, path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, Stdout, "one\nhal")
	write(t, w, Stderr, "err=1\n")
	write(t, w, Stdout, "f\nrest")
	closeIt(t, w)
	common := map[string]string{
		"CONTAINER_ID": id[:12], "CONTAINER_ID_FULL": id, "CONTAINER_NAME": "web", "CONTAINER_TAG": "tag",
		"IMAGE_NAME": "img", "SYSLOG_IDENTIFIER": "tag",
	}
	for i, want := range []map[string]string{
		{"MESSAGE": "one", "PRIORITY": "6"},
		{"MESSAGE": "err=1", "PRIORITY": "3"},
		{"MESSAGE": "half", "PRIORITY": "6"},
		{"MESSAGE": "rest", "PRIORITY": "6", "CONTAINER_PARTIAL_MESSAGE": "true"},
	} {
		got := entry(t, server)
		maps.Copy(want, common)
		stamp := got["SYSLOG_TIMESTAMP"]
		delete(got, "SYSLOG_TIMESTAMP")
		if len(got) != len(want) || i < 3 && stamp != "2026-01-02T12:00:00.000000123Z" || stamp == "" {
			t.Errorf("got %q at %s, want %q", got, stamp, want)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s=%q, want %q", k, got[k], v)
			}
		}
	}
}

// What is too long for a datagram comes as a sealed file; a value with newlines
// has its length before it.
func TestJournalLargeEntry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	server := journald(t, path)
	w, err := openJournal(Config{Name: strings.Repeat("n", 300_000), Tag: "two\nlines"}, path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, Stdout, "text\n")
	closeIt(t, w)
	got := entry(t, server)
	if got["MESSAGE"] != "text" || len(got["CONTAINER_NAME"]) != 300_000 || got["CONTAINER_TAG"] != "two\nlines" {
		t.Errorf("%d fields, message %q, tag %q", len(got), got["MESSAGE"], got["CONTAINER_TAG"])
	}
}

// A journal that does not read must not hold the container up, and one that is
// restarted is found again.
func TestJournalStuckAndRestarted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	server := journald(t, path)
	w, err := openJournal(Config{Name: "web"}, path)
	if err != nil {
		t.Fatal(err)
	}
	w.stuck = true // it has waited in vain
	sent := 0
	for ; w.lost == 0 && sent < 1_000_000; sent++ {
		_ = w.Write(Stdout, []byte("line\n"), noon)
	}
	if w.lost == 0 {
		t.Fatalf("%d entries fit in the queue", sent)
	}
	server.Close()
	os.Remove(path)
	if err := w.Write(Stdout, []byte("nobody\n"), noon); err == nil {
		t.Error("a write to nobody said nothing")
	}
	server = journald(t, path)
	write(t, w, Stdout, "again\n")
	if got := entry(t, server); got["MESSAGE"] != "again" {
		t.Errorf("%q", got)
	}
	lost, ok := errors.AsType[*LostError](w.Close())
	if !ok || lost.Records != 2 {
		t.Errorf("lost %+v", lost)
	}
}

func TestNoJournal(t *testing.T) {
	if w, err := openJournal(Config{}, filepath.Join(t.TempDir(), "socket")); err == nil {
		t.Errorf("opened %v", w)
	}
}

// The early stage of a container's monitor links this package: it must stay light.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	for _, heavy := range []string{"net", "os/exec", "os/user", "regexp", "text/template", "log", "log/slog", "crypto/tls"} {
		if slices.Contains(deps, heavy) {
			t.Errorf("imports %s", heavy)
		}
	}
	for _, d := range deps {
		if strings.Contains(d, ".") && d != "golang.org/x/sys/unix" && !strings.Contains(d, "/nook/pkg/sys") && !strings.HasSuffix(d, "/pkg/logs") {
			t.Errorf("imports %s", d)
		}
	}
}
