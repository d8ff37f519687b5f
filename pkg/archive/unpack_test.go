package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/ulikunitz/xz"
	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"

	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/store/storetest"
)

func getxattr(t *testing.T, path, name string) string {
	t.Helper()
	buf := make([]byte, 256)
	n, err := syscall.Getxattr(path, name, buf)
	if err != nil {
		return "error " + err.Error()
	}
	return string(buf[:n])
}

func TestMetadata(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	mtime := time.Unix(1_600_000_000, 123_456_789)
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" // cap_net_bind_service+ep
	data := storetest.Tar(t,
		file{Name: "./", Header: tar.Header{Mode: 0o711, Uid: 7}},
		attr(file{Name: "d/", Header: tar.Header{Mode: 0o1777, Uid: 3, Gid: 4, ModTime: mtime, Format: tar.FormatPAX}}, "user.overlay.opaque", "y"),
		attr(file{Name: "d/f", Body: "x", Header: tar.Header{Mode: 0o6751, Uid: 5, Gid: 6, ModTime: mtime, Format: tar.FormatPAX}}, "user.kept", "yes"),
		attr(file{Name: "cap", Body: "x"}, "security.capability", capability),
		attr(file{Name: "badcap", Body: "x"}, "security.capability", "junk"),
		attr(file{Name: "stat", Body: "x"}, "user.containers.override_stat", "0:0:6755"),
		attr(file{Name: "redirect/"}, "user.overlay.redirect", "/etc"),
		attr(file{Name: "trusted/"}, "trusted.overlay.redirect", "/etc"),
		file{Name: "l", Header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "/nowhere", Uid: 8, Gid: 9, ModTime: mtime, Format: tar.FormatPAX}},
		file{Name: "p", Header: tar.Header{Typeflag: tar.TypeFifo, Mode: 0o640, Uid: 2}},
		file{Name: "made/by/name", Body: "1"},
	)
	if err := unpack(t, root, data, archive.Options{}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]struct {
		mode     os.FileMode
		uid, gid uint32
	}{
		".":       {os.ModeDir | 0o711, 7, 0},
		"d":       {os.ModeDir | os.ModeSticky | 0o777, 3, 4},
		"d/f":     {os.ModeSetuid | os.ModeSetgid | 0o751, 5, 6},
		"l":       {os.ModeSymlink | 0o777, 8, 9},
		"p":       {os.ModeNamedPipe | 0o640, 2, 0},
		"made/by": {os.ModeDir | 0o755, 0, 0},
	} {
		fi, err := os.Lstat(filepath.Join(root, path))
		if err != nil {
			t.Error(err)
			continue
		}
		st := statOf(fi)
		if fi.Mode() != want.mode || st.Uid != want.uid || st.Gid != want.gid {
			t.Errorf("%s: %v %d:%d, want %+v", path, fi.Mode(), st.Uid, st.Gid, want)
		}
	}
	for _, path := range []string{"d", "d/f", "l"} { // a directory's time is not that of the last file in it
		if fi, err := os.Lstat(filepath.Join(root, path)); err != nil || !fi.ModTime().Equal(mtime) {
			t.Errorf("%s was changed at %v, want %v", path, fi.ModTime(), mtime)
		}
	}
	for _, x := range []struct{ path, name, want string }{
		{"d/f", "user.kept", "yes"},
		{"d", "user.overlay.opaque", "error no data available"},
		{"redirect", "user.overlay.redirect", "error no data available"},
		{"stat", "user.containers.override_stat", "error no data available"},
		{"badcap", "security.capability", "error no data available"},
	} {
		if got := getxattr(t, filepath.Join(root, x.path), x.name); got != x.want {
			t.Errorf("%s of %s is %q, want %q", x.name, x.path, got, x.want)
		}
	}
	if got := getxattr(t, filepath.Join(root, "cap"), "security.capability"); len(got) < 20 || got[4:12] != capability[4:12] {
		t.Errorf("capability is %q", got)
	}
}

func TestWhiteouts(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	data := storetest.Tar(t,
		file{Name: ".wh.gone"},
		file{Name: "new/"}, file{Name: "new/.wh..wh..opq"}, file{Name: "new/f", Body: "1"},
		file{Name: ".wh.again"}, file{Name: "again/"}, file{Name: "again/f", Body: "1"}, // deleted and made anew
		file{Name: "twice/"}, file{Name: ".wh.twice"},
		file{Name: "both", Body: "1"}, file{Name: ".wh.both"}, // what the layer has stays
	)
	if err := unpack(t, root, data, archive.Options{}); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Lstat(filepath.Join(root, "gone"))
	if err != nil || fi.Mode()&os.ModeCharDevice == 0 || statOf(fi).Rdev != 0 {
		t.Errorf("gone: %v, %v", fi, err)
	}
	for _, dir := range []string{"new", "again", "twice"} {
		if got := getxattr(t, filepath.Join(root, dir), "user.overlay.opaque"); got != "y" {
			t.Errorf("%s: opaque is %q", dir, got)
		}
	}
	if data, err := os.ReadFile(filepath.Join(root, "both")); string(data) != "1" {
		t.Errorf("both: %q, %v", data, err)
	}
	// Kept as files where the reader wants them so.
	other := filepath.Join(t.TempDir(), "root")
	if err := unpack(t, other, data2(t), archive.Options{KeepWhiteouts: true}); err != nil {
		t.Fatal(err)
	}
	checkFiles(t, other, []string{".wh.gone", "d/.wh..wh..opq"})
}

func data2(t *testing.T) []byte {
	t.Helper()
	return storetest.Tar(t, file{Name: ".wh.gone"}, file{Name: "d/"}, file{Name: "d/.wh..wh..opq"})
}

// TestSplit puts a layer together again from its files and the record.
func TestSplit(t *testing.T) {
	root := t.TempDir()
	data := storetest.Tar(t,
		file{Name: "d/"}, file{Name: "d/a", Body: strings.Repeat("abc", 100_000)}, file{Name: "e", Body: ""},
		link("l", "d/a"), hard("h", "d/a"), file{Name: "\xff", Body: "raw", Header: tar.Header{Format: tar.FormatGNU}},
	)
	data = append(data, make([]byte, 7777)...) // padding as tape tools write it
	var split bytes.Buffer
	got, err := archive.UnpackLayer(t.Context(), bytes.NewReader(storetest.Gzip(t, data)), root, archive.Options{Split: &split})
	if err != nil {
		t.Fatal(err)
	}
	if got.DiffID != digest.FromBytes(data) || got.Size != int64(len(data)) || got.Blob != digest.FromBytes(storetest.Gzip(t, data)) {
		t.Errorf("got %+v", got)
	}
	r := asm.NewOutputTarStream(storage.NewPathFileGetter(root), storage.NewJSONUnpacker(&split))
	defer r.Close()
	again, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("%d bytes came out, %d went in, %v", len(again), len(data), err)
	}
}

func TestCompressions(t *testing.T) {
	data := storetest.Tar(t, file{Name: "f", Body: strings.Repeat("hello ", 50_000)})
	gz := storetest.Gzip(t, data)
	var z, x bytes.Buffer
	zw, _ := zstd.NewWriter(&z)
	must(zw.Write(data))
	zw.Close()
	xw, _ := xz.NewWriter(&x)
	must(xw.Write(data))
	xw.Close()
	skippable := append([]byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}, z.Bytes()...)
	half := len(data) / 2
	members := append(storetest.Gzip(t, data[:half]), storetest.Gzip(t, data[half:])...)
	for _, tc := range []struct {
		name    string
		data    []byte
		kind    archive.Compression
		refused string
	}{
		{"none", data, archive.None, ""},
		{"gzip", gz, archive.Gzip, ""},
		{"two gzip members", members, archive.Gzip, ""},
		{"gzip and zeros", append(slices.Clone(gz), make([]byte, 1000)...), archive.Gzip, ""},
		{"gzip and garbage", append(slices.Clone(gz), "garbage"...), archive.Gzip, "followed by something"},
		{"gzip cut short", gz[:len(gz)-9], archive.Gzip, "cut short"},
		{"gzip damaged", damage(gz), archive.Gzip, "gzip"},
		{"zstd", z.Bytes(), archive.Zstd, ""},
		{"zstd after skippable frame", skippable, archive.Zstd, ""},
		{"zstd cut short", z.Bytes()[:z.Len()-5], archive.Zstd, "zstd"},
		{"xz", x.Bytes(), archive.XZ, ""},
		{"xz cut short", x.Bytes()[:x.Len()-5], archive.XZ, "xz"},
		{"only a magic", []byte{0x1f, 0x8b}, archive.Gzip, "gzip"},
		{"tar cut short", data[:700], archive.None, "EOF"},
		{"text", []byte(strings.Repeat("no tar at all\n", 100)), archive.None, "tar"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := archive.UnpackLayer(t.Context(), bytes.NewReader(tc.data), t.TempDir(), archive.Options{})
			if tc.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("got %v, want an error with %q", err, tc.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Compression != tc.kind || got.DiffID != digest.FromBytes(data) || got.Blob != digest.FromBytes(tc.data) || got.BlobSize != int64(len(tc.data)) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func damage(data []byte) []byte {
	data = slices.Clone(data)
	data[len(data)/2] ^= 0xff
	return data
}

// zeros is a layer of one huge file of zeros, without its bytes in memory.
func zeros(t *testing.T, size int64) io.Reader {
	t.Helper()
	var head bytes.Buffer
	if err := tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Mode: 0o644, Size: size}); err != nil {
		t.Fatal(err)
	}
	return io.MultiReader(&head, io.LimitReader(zeroReader{}, size+1024))
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// smallFS mounts a tmpfs of so many bytes.
func smallFS(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

func TestBombStopsBeforeTheDiskIsFull(t *testing.T) {
	dir := smallFS(t, "200m")
	_, err := archive.UnpackLayer(t.Context(), zeros(t, 1<<40), dir, archive.Options{})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want an error about space that names %s", err, dir)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil || st.Bavail == 0 {
		t.Errorf("nothing was left free (%v)", err)
	}
}

func TestUnpackStops(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped by the test")
	cancel(stopped)
	_, err := archive.UnpackLayer(ctx, zeros(t, 1<<40), t.TempDir(), archive.Options{})
	if !errors.Is(err, stopped) {
		t.Errorf("got %v", err)
	}
}

func TestHugeSizes(t *testing.T) {
	for _, size := range []string{"\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", "\x80\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff", "77777777777\x00"} {
		data := storetest.Tar(t, file{Name: "f", Body: "x"})
		copy(data[124:136], size)
		copy(data[148:156], "        ")
		sum := 0
		for _, b := range data[:512] {
			sum += int(b)
		}
		copy(data[148:156], []byte{byte('0' + sum>>15&7), byte('0' + sum>>12&7), byte('0' + sum>>9&7), byte('0' + sum>>6&7), byte('0' + sum>>3&7), byte('0' + sum&7), 0, ' '})
		if err := unpack(t, t.TempDir(), data, archive.Options{}); err == nil {
			t.Errorf("a file of size %q was taken", size)
		}
	}
}

func TestSquash(t *testing.T) {
	root := t.TempDir()
	got, err := archive.Unpack(t.Context(), bytes.NewReader(storetest.Tar(t, file{Name: "a", Body: "1", Header: tar.Header{Uid: 4_000_000, Gid: 12}})), root, archive.Options{
		UIDs: []archive.IDRange{{First: 0, Count: 100}}, GIDs: []archive.IDRange{{First: 0, Count: 100}},
		SquashIDs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(filepath.Join(root, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if st := statOf(fi); st.Uid != 0 || st.Gid != 12 || got.Squashed != 1 || got.Missing != 4_000_000 {
		t.Errorf("owner %d:%d, %d squashed, %d missing", st.Uid, st.Gid, got.Squashed, got.Missing)
	}
}

func FuzzUnpack(f *testing.F) {
	seed := func(files ...file) { f.Add(storetest.Tar(f, files...)) }
	seed(file{Name: "a/"}, file{Name: "a/b", Body: "x"}, link("l", "../.."), file{Name: "l/x", Body: "y"}, hard("h", "a/b"))
	seed(file{Name: ".wh.x"}, file{Name: "d/"}, file{Name: "d/.wh..wh..opq"}, attr(file{Name: "e", Body: "1"}, "user.x", "y"))
	f.Fuzz(func(t *testing.T, data []byte) {
		base := t.TempDir()
		canary, root := filepath.Join(base, "canary"), filepath.Join(base, "root")
		makeCanary(t, canary)
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		before := treeSum(t, canary)
		_, _ = archive.UnpackLayer(t.Context(), bytes.NewReader(data), root, archive.Options{Split: io.Discard})
		if after := treeSum(t, canary); after != before {
			t.Fatal("the layer got out")
		}
		entries, err := os.ReadDir(base)
		if err != nil || len(entries) != 2 {
			t.Fatalf("beside the layer: %v, %v", entries, err)
		}
	})
}
