package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/sys"
)

func pack(t *testing.T, dir string) []byte {
	t.Helper()
	d, err := sys.OpenHostDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var buf bytes.Buffer
	if err := archive.Pack(t.Context(), &buf, d); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestPackAndUnpack(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	p := func(s string) string { return filepath.Join(from, s) }
	long := strings.Repeat("long-name-", 20)
	if err := errors.Join(
		os.Mkdir(p("d"), 0o750), os.WriteFile(p("d/f"), []byte("content"), 0o640), os.Link(p("d/f"), p("hard")),
		os.Symlink("../outside", p("soft")), sys.Mkfifo(p("fifo"), 0o600), os.WriteFile(p(".wh.not-a-whiteout"), nil, 0o600),
		os.WriteFile(p(long), []byte("l"), 0o600), os.Chmod(from, 0o711),
		os.WriteFile(filepath.Join(to, "there-before"), nil, 0o600), os.WriteFile(filepath.Join(to, "soft"), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	packed := pack(t, from)
	if err := archive.UnpackFiles(t.Context(), bytes.NewReader(packed), to, archive.Options{}); err != nil {
		t.Fatal(err)
	}
	again := pack(t, to)
	got, want := entries(t, again), entries(t, packed)
	if got["there-before"] == "" {
		t.Error("a file that was there before is gone")
	}
	delete(got, "there-before")
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: got %q, want %q", name, got[name], want[name])
		}
	}
	if len(got) != len(want) || len(want) != 8 {
		t.Errorf("%d entries, want %d, which should be 8", len(got), len(want))
	}
}

func entries(t *testing.T, data []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		mtime := h.ModTime.String()
		if h.Typeflag == tar.TypeDir && h.Name != "./" {
			mtime = "" // tested by unpacking
		}
		out[h.Name] = strings.Join([]string{string(h.Typeflag), h.FileInfo().Mode().String(), h.Linkname, mtime, string(body)}, " ")
	}
}

// What a link in a volume points to is never read.
func TestPackFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Symlink("/etc/passwd", filepath.Join(dir, "a")), os.Symlink("/etc", filepath.Join(dir, "b"))); err != nil {
		t.Fatal(err)
	}
	got := entries(t, pack(t, dir))
	if len(got) != 3 || !strings.Contains(got["a"], "/etc/passwd") || !strings.HasPrefix(got["b"], string(tar.TypeSymlink)) {
		t.Errorf("got %q", got)
	}
}
