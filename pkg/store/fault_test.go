package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/store/storetest"
)

// small mounts a tmpfs of so many bytes and returns options for a store on it.
func small(t *testing.T, size string) store.Options {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return store.Options{Root: filepath.Join(dir, "root"), RunRoot: t.TempDir()}
}

func TestFullDisk(t *testing.T) {
	o := small(t, "64m")
	s := open(t, o)
	kept := put(t, s, twoLayers(t), "localhost/kept:latest")
	if _, err := s.CreateContainer(cid, kept, store.ContainerOptions{}); err != nil {
		t.Fatal(err)
	}
	big := storetest.Image(t, nil, storetest.Tar(t, storetest.File{Name: "big", Body: strings.Repeat("x", 80<<20)}))
	_, err := s.Put(t.Context(), big, []string{"localhost/big:latest"}, nil)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), s.Root()) {
		t.Errorf("got %v, want an error about space that names the directory", err)
	}
	if left := names(t, filepath.Join(s.Root(), "overlay", "staging")); len(left) > 0 {
		t.Errorf("staging has %q", left)
	}
	images, err := s.Images()
	if err != nil || len(images) != 1 {
		t.Errorf("%d images, %v", len(images), err)
	}

	// Fill the rest, to the last byte: removing must work still.
	fill, err := os.Create(filepath.Join(filepath.Dir(s.Root()), "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	for chunk := 1 << 20; chunk > 0; {
		if _, err := fill.Write(make([]byte, chunk)); err != nil {
			chunk /= 2
		}
	}
	if _, err := s.CreateContainer("beef"+cid[4:], kept, store.ContainerOptions{}); !errors.Is(err, syscall.ENOSPC) || problem.HintOf(err) == "" {
		t.Errorf("create on a full disk: %v, hint %q", err, problem.HintOf(err))
	}
	full := t.TempDir()
	if err := syscall.Mount("tmpfs", full, "tmpfs", 0, "mode=0700,nr_inodes=3"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(full, syscall.MNT_DETACH) })
	if err := s.MakeOwn(filepath.Join(full, "layer"), kept); !errors.Is(err, syscall.ENOSPC) || problem.HintOf(err) == "" {
		t.Errorf("a layer of the caller's on a full disk: %v, hint %q", err, problem.HintOf(err))
	}
	s.Close()
	again := open(t, o)
	if err := again.DeleteContainer(cid); err != nil {
		t.Errorf("delete container on a full disk: %v", err)
	}
	if err := again.Remove(kept); err != nil {
		t.Errorf("remove image on a full disk: %v", err)
	}
	if images, err := again.Images(); err != nil || len(images) != 0 {
		t.Errorf("%d images are left, %v", len(images), err)
	}
}

func TestUnwritable(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	_, err := store.Open(store.Options{Root: filepath.Join(dir, "root"), RunRoot: t.TempDir()})
	if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), dir) || problem.HintOf(err) == "" {
		t.Errorf("read-only: %v, hint %q", err, problem.HintOf(err))
	}
	if _, err := store.Open(store.Options{Root: "relative", RunRoot: t.TempDir()}); err == nil {
		t.Error("a relative path was taken")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(store.Options{Root: file, RunRoot: t.TempDir()}); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file as root: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []store.Options{
		{Driver: "btrfs"},
		{Driver: "zfs"},
		{Opts: []string{"overlay.size=10G"}},
		{Opts: []string{"foo=bar"}},
		{Opts: []string{"overlay.mountopt=nodev"}},
		{Opts: []string{"nook.mount=magic"}},
		{Opts: []string{"ignore_chown_errors"}},
		{Opts: []string{"overlay.ignore_chown_errors=perhaps"}},
		{Opts: []string{"btrfs.min_space=1"}},
		{Driver: "vfs", Opts: []string{"mount_program=/bin/true"}},
	} {
		o.Root, o.RunRoot = t.TempDir(), t.TempDir()
		if s, err := store.Open(o); err == nil {
			s.Close()
			t.Errorf("%s %q was taken", o.Driver, o.Opts)
		}
		if left, _ := os.ReadDir(o.Root); len(left) > 0 {
			t.Errorf("%q left %v", o.Opts, left)
		}
	}
	for _, opts := range [][]string{{"overlay.ignore_chown_errors=true"}, {"overlay2.ignore_chown_errors=false"}, {"vfs.ignore_chown_errors=true"}, {"nook.mount=auto"}} {
		open(t, store.Options{Opts: opts})
	}
}

// liar is a layer whose bytes are not what its digests say.
type liar struct {
	v1.Layer

	data []byte
}

func (l liar) Compressed() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(l.data)), nil }

// cut is a layer that breaks off.
type cut struct{ v1.Layer }

func (c cut) Compressed() (io.ReadCloser, error) {
	r, err := c.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.MultiReader(io.LimitReader(r, 600), errReader{})), nil
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestPutRefuses(t *testing.T) {
	s := open(t, store.Options{Opts: []string{"ignore_chown_errors=false"}, MoreIDs: func(n uint32) (string, error) { return fmt.Sprint("usermod for ", n), nil }})
	good := storetest.Tar(t, storetest.File{Name: "good", Body: "1"})
	other := storetest.Tar(t, storetest.File{Name: "evil", Body: "1"})
	base := storetest.Image(t, nil, good)
	with := func(l v1.Layer) v1.Image {
		img, err := mutate.AppendLayers(base, l)
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	top := storetest.Layer(storetest.Tar(t, storetest.File{Name: "top", Body: "2"}))
	for _, tc := range []struct {
		name, want string
		img        v1.Image
	}{
		{"other bytes", "digest", with(liar{top, other})},
		{"nothing", "digest", with(liar{top, make([]byte, 1024)})},
		{"broken off", "connection reset", with(cut{top})},
		{"no tar", "tar", with(static.NewLayer([]byte(strings.Repeat("junk", 300)), types.DockerUncompressedLayer))},
		{"escape", "leads out", with(storetest.Layer(storetest.Tar(t, storetest.File{Name: "../x", Body: "1"})))},
		{"environment without value", "KEY=VALUE", storetest.Image(t, func(c *v1.ConfigFile) { c.Config.Env = []string{"SECRET"} }, good)},
		{"environment without key", "KEY=VALUE", storetest.Image(t, func(c *v1.ConfigFile) { c.Config.Env = []string{"=x"} }, good)},
		{"unmapped owner", "belongs to uid", with(storetest.Layer(storetest.Tar(t, owned("x", 3_000_000))))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := s.Put(t.Context(), tc.img, []string{"localhost/bad:latest"}, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
			if tc.name == "unmapped owner" && !strings.Contains(problem.HintOf(err), "run: usermod for 3000000; or ") {
				t.Errorf("hint %q", problem.HintOf(err))
			}
			if images, err := s.Images(); err != nil || len(images) != 0 {
				t.Errorf("%d images, %v", len(images), err)
			}
			if left, _ := os.ReadDir(filepath.Join(s.Root(), "overlay", "staging")); len(left) > 0 {
				t.Errorf("staging has %v", left)
			}
			if data, _ := os.ReadFile(filepath.Join(s.Root(), "overlay-layers", "layers.json")); len(data) > 2 {
				t.Errorf("layers are there: %s", data)
			}
		})
	}
}

func owned(name string, uid int) storetest.File {
	f := storetest.File{Name: name, Body: "1"}
	f.Uid = uid
	return f
}

func TestTooManyLayers(t *testing.T) {
	s := open(t, store.Options{})
	layer := storetest.Layer(storetest.Tar(t, storetest.File{Name: "x", Body: "1"}))
	layers := make([]v1.Layer, 1001)
	for i := range layers {
		layers[i] = layer
	}
	img, err := mutate.AppendLayers(storetest.Image(t, nil), layers...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), img, nil, nil); err == nil || !strings.Contains(err.Error(), "1001 layers") {
		t.Errorf("got %v", err)
	}
}

// TestKilled kills a process that puts images, again and again, and looks at what
// it leaves. The process is this test binary; see TestMain.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("NOOK_TEST_PUT"); dir != "" {
		putForever(t, dir)
		return
	}
	dir := t.TempDir()
	for n := range 12 {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "NOOK_TEST_PUT="+dir, "NOOK_TEST_INSIDE=ready")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// It says when it begins an image; kill it at another moment each time.
		buf := make([]byte, 1)
		if _, err := out.Read(buf); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(n) * 5 * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("it was not killed")
		}
		checkWhole(t, dir)
	}
	// What was left in staging goes once it is old enough to be judged.
	staging := filepath.Join(dir, "root", "overlay", "staging")
	old := time.Now().Add(-time.Hour)
	for _, name := range names(t, staging) {
		if err := os.Chtimes(filepath.Join(staging, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	open(t, store.Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run")})
	if left := names(t, staging); len(left) > 0 {
		t.Errorf("staging has %q", left)
	}
}

func putForever(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(store.Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run")})
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		var files []storetest.File
		for i := range 50 {
			files = append(files, storetest.File{Name: fmt.Sprintf("f%d", i), Body: fmt.Sprintf("%d-%d-%d", os.Getpid(), n, i)})
		}
		img := storetest.Image(t, nil, storetest.Tar(t, files...), storetest.Tar(t, files[:20]...), storetest.Tar(t, files[20:]...))
		os.Stdout.WriteString(".")
		if _, err := s.Put(t.Context(), img, []string{fmt.Sprintf("localhost/p%d:%d", os.Getpid(), n)}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// checkWhole opens the store and starts a container of every image.
func checkWhole(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(store.Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run")})
	if err != nil {
		t.Fatalf("the store does not open: %v", err)
	}
	defer s.Close()
	images, err := s.Images()
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range images {
		if _, err := img.RawManifest(); err != nil {
			t.Error(err)
		}
		if _, err := s.CreateContainer(cid, img.ID, store.ContainerOptions{Volatile: true}); err != nil {
			t.Fatalf("image %s: %v", img.ID, err)
		}
		r, err := s.RootFS(cid)
		if err != nil {
			t.Fatalf("image %s: %v", img.ID, err)
		}
		if got := len(names(t, "/proc/self/fd/"+itoa(int(r.Mount.Fd()))+"/")); got != 50 {
			t.Errorf("image %s has %d files, want 50", img.ID, got)
		}
		r.Close()
		if err := s.DeleteContainer(cid); err != nil {
			t.Fatal(err)
		}
	}
}
