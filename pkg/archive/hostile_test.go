package archive_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

type file = storetest.File

func link(name, target string) file {
	return file{Name: name, Header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: target}}
}

func hard(name, target string) file {
	return file{Name: name, Header: tar.Header{Typeflag: tar.TypeLink, Linkname: target}}
}

func attr(f file, name, value string) file {
	f.PAXRecords = map[string]string{"SCHILY.xattr." + name: value}
	return f
}

// TestHostileLayers unpacks what a malicious layer may try. None may touch the
// canary beside it; refused says what the error must hold, "" that it must not
// fail, and holds the regular files that are then there.
func TestHostileLayers(t *testing.T) {
	deep := strings.Repeat("d/", 300)
	for _, tc := range []struct {
		name    string
		files   []file
		refused string
		holds   string
	}{
		{"dotdot", []file{{Name: "../canary/x", Body: "!"}}, "leads out", ""},
		{"dotdot inside", []file{{Name: "a/../../canary/x", Body: "!"}}, "leads out", ""},
		{"dotdot harmless", []file{{Name: "a/../b", Body: "!"}}, "", "b"},
		{"absolute", []file{{Name: "/canary/x", Body: "!"}}, "", "canary/x"},
		{"absolute dotdot", []file{{Name: "/../../canary/x", Body: "!"}}, "leads out", ""},
		{"symlink then file", []file{link("l", "../canary"), {Name: "l/x", Body: "!"}}, "", "canary/x"},
		{"absolute symlink then file", []file{link("l", "CANARY"), {Name: "l/x", Body: "!"}}, "", "CANARY/x"},
		{"symlink chain", []file{link("a", "b"), link("b", "../../canary"), {Name: "a/x", Body: "!"}}, "", "canary/x"},
		{"symlink loop", []file{link("a", "b"), link("b", "a"), {Name: "a/x", Body: "!"}}, "many", ""},
		{"file over symlink", []file{link("l", "../canary/secret"), {Name: "./l", Body: "!"}}, "duplicates", ""},
		{"whiteout through symlink", []file{link("l", "../canary"), {Name: "l/.wh.secret"}}, "", ""},
		{"opaque through symlink", []file{link("l", "../canary"), {Name: "l/.wh..wh..opq"}}, "", ""},
		{"whiteout of dot", []file{{Name: ".wh.."}}, "hides nothing", ""},
		{"whiteout of dotdot", []file{{Name: "d/.wh..."}}, "hides nothing", ""},
		{"whiteout of nothing", []file{{Name: ".wh."}}, "hides nothing", ""},
		{"aufs files", []file{{Name: ".wh..wh.plnk/1.2", Body: "!"}, {Name: ".wh..wh.aufs"}, {Name: "k", Body: "1"}}, "", "k"},
		{"hard link absolute", []file{hard("h", "CANARY/secret")}, "hard link", ""},
		{"hard link dotdot", []file{hard("h", "../canary/secret")}, "leads out", ""},
		{"hard link via symlink", []file{link("l", "../canary"), hard("h", "l/secret")}, "hard link", ""},
		{"hard link to symlink", []file{link("l", "../canary/secret"), hard("h", "l"), {Name: "k", Body: "1"}}, "", "k"},
		{"hard link chain", []file{{Name: "a", Body: "1"}, hard("b", "a"), hard("c", "b")}, "", "a b c"},
		{"hard link to itself", []file{hard("a", "a")}, "hard link", ""},
		{"hard link to a directory", []file{{Name: "d/"}, hard("h", "d")}, "h", ""},
		{"directory over symlink", []file{link("l", "../canary"), {Name: "l/"}}, "duplicates", ""},
		{"directory over symlink to it", []file{link("a", "../canary"), {Name: "a/b/c", Body: "1"}, {Name: "canary/"}}, "", "canary/b/c"},
		{"path by PAX", []file{{Name: "ok", Body: "!", Header: tar.Header{PAXRecords: map[string]string{"path": "../canary/x"}}}}, "leads out", ""},
		{"root is a symlink", []file{link(".", "../canary")}, "root of a layer", ""},
		{"root is a file", []file{{Name: ".", Body: "!"}}, "root of a layer", ""},
		{"root is a hard link", []file{{Name: "a", Body: "1"}, hard("/", "a")}, "root of a layer", ""},
		{"device", []file{{Name: "null", Header: tar.Header{Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}, {Name: "k", Body: "1"}}, "", "k"},
		{"block device", []file{{Name: "sda", Header: tar.Header{Typeflag: tar.TypeBlock, Devmajor: 8}}, {Name: "k", Body: "1"}}, "", "k"},
		{"whiteout as device", []file{{Name: "w", Header: tar.Header{Typeflag: tar.TypeChar}}, {Name: "k", Body: "1"}}, "", "k"},
		{"fifo", []file{{Name: "f", Header: tar.Header{Typeflag: tar.TypeFifo}}, {Name: "k", Body: "1"}}, "", "k"},
		{"setuid", []file{{Name: "s", Body: "1", Header: tar.Header{Mode: 0o6755}}}, "", "s"},
		{"duplicates", []file{{Name: "a", Body: "1"}, {Name: "a", Body: "2"}}, "duplicates", ""},
		{"not UTF-8", []file{{Name: "\xff\xfe", Body: "1", Header: tar.Header{Format: tar.FormatGNU}}}, "", "\xff\xfe"},
		{"newline", []file{{Name: "a\nb", Body: "1"}}, "", "a\nb"},
		{"255 bytes", []file{{Name: strings.Repeat("n", 255), Body: "1"}}, "", strings.Repeat("n", 255)},
		{"256 bytes", []file{{Name: strings.Repeat("n", 256), Body: "1"}}, "too long", ""},
		{"deep", []file{{Name: deep + "x", Body: "1"}}, "deep", ""},
		{"long", []file{{Name: strings.Repeat("nnnnnnnnnnnnnnnnnnnnnnnnnnnnnn/", 140) + "x", Body: "1"}}, "bytes", ""},
		{"negative time", []file{{Name: "a", Body: "1", Header: tar.Header{ModTime: storetest.Epoch().AddDate(-100, 0, 0)}}}, "", "a"},
		{"unmapped owner", []file{{Name: "a", Body: "1", Header: tar.Header{Uid: 2_000_000}}}, "belongs to uid 2000000", ""},
		{"unmapped group", []file{{Name: "a", Body: "1", Header: tar.Header{Gid: 2_000_000}}}, "belongs to gid 2000000", ""},
		{"no such id", []file{{Name: "a", Body: "1", Header: tar.Header{Uid: 1<<32 - 1}}}, "does not exist", ""},
		{"unknown type", []file{{Name: "a", Header: tar.Header{Typeflag: 'Z'}}}, "unknown kind", ""},
		{"file as directory", []file{{Name: "a", Body: "1"}, {Name: "a/b", Body: "2"}}, "a/b", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			base := t.TempDir()
			canary, root := filepath.Join(base, "canary"), filepath.Join(base, "root")
			makeCanary(t, canary)
			before := treeSum(t, canary)
			for i := range tc.files {
				tc.files[i].Linkname = strings.Replace(tc.files[i].Linkname, "CANARY", canary, 1)
			}
			var notes []string
			err := unpack(t, root, rawTar(t, tc.files), archive.Options{
				UIDs: []archive.IDRange{{First: 0, Count: 65537}}, GIDs: []archive.IDRange{{First: 0, Count: 65537}},
				Note: func(s string) { notes = append(notes, s) },
			})
			if after := treeSum(t, canary); after != before {
				t.Fatalf("the canary is dead:\n%s\n%s", before, after)
			}
			if tc.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("got %v, want an error with %q", err, tc.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Fields(strings.ReplaceAll(tc.holds, "CANARY", strings.TrimPrefix(canary, "/")))
			if strings.ContainsAny(tc.holds, "\n") {
				want = []string{tc.holds}
			}
			checkFiles(t, root, want)
			if special := strings.Contains(tc.name, "device"); special && len(notes) == 0 {
				t.Error("a device was left out silently")
			}
		})
	}
}

// rawTar writes headers that archive/tar would refuse to write by hand.
func rawTar(t *testing.T, files []file) []byte {
	t.Helper()
	for i, f := range files {
		if p, ok := f.PAXRecords["path"]; ok {
			return paxPath(t, files[i].Name, p)
		}
	}
	return storetest.Tar(t, files...)
}

// paxPath is a tar whose one file has another name in its PAX record.
func paxPath(t *testing.T, name, path string) []byte {
	t.Helper()
	record := fmt.Sprintf("%d path=%s\n", len(path)+len("00 path=\n"), path)
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	h := &tar.Header{Name: "PaxHeaders/x", Typeflag: tar.TypeReg, Size: int64(len(record)), Mode: 0o644}
	if err := tw.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	must(tw.Write([]byte(record)))
	if err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	tw.Close()
	data := out.Bytes()
	data[156] = 'x' // the first header is an extended one now; mend its checksum
	copy(data[148:156], "        ")
	sum := 0
	for _, b := range data[:512] {
		sum += int(b)
	}
	copy(data[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return data
}

func unpack(t *testing.T, root string, data []byte, o archive.Options) error {
	t.Helper()
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	var split bytes.Buffer
	o.Split = &split
	_, err := archive.UnpackLayer(t.Context(), bytes.NewReader(data), root, o)
	return err
}

func makeCanary(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("alive"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// treeSum describes everything about a tree that a layer could change.
func treeSum(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		st := statOf(fi)
		fmt.Fprintln(&out, path, fi.Mode(), st.Uid, st.Gid, st.Nlink, st.Size, st.Mtim, st.Ctim)
		if fi.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			fmt.Fprintf(&out, "%x %v\n", sha256.Sum256(data), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func statOf(fi fs.FileInfo) *syscall.Stat_t {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		panic("no Stat_t")
	}
	return st
}

// must stops at an error of a call that cannot fail here.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// checkFiles compares the regular files below root.
func checkFiles(t *testing.T, root string, want []string) {
	t.Helper()
	var got []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			got = append(got, strings.TrimPrefix(path, root+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("files %q, want %q", got, want)
	}
}
