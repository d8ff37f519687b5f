package store_test

import (
	"errors"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/store/storetest"
)

func labelled(t *testing.T, n int) v1.Image {
	t.Helper()
	return storetest.Image(t, func(c *v1.ConfigFile) { c.Config.Labels = map[string]string{"n": itoa(n)} },
		storetest.Tar(t, storetest.File{Name: "f", Body: "same"}))
}

func TestLookup(t *testing.T) {
	s := open(t, store.Options{})
	busybox := put(t, s, labelled(t, 1), "docker.io/library/busybox:latest", "docker.io/library/busybox:1.36")
	mine := put(t, s, labelled(t, 2), "localhost/mine:latest")
	registry := put(t, s, labelled(t, 3), "registry.example.com:5000/team/app:v2")
	other := put(t, s, labelled(t, 4), "quay.io/team/other:latest", "quay.io/x/tool:latest")
	second := put(t, s, labelled(t, 5), "ghcr.io/x/tool:latest")
	img, err := s.Lookup(busybox)
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		busybox: busybox, "sha256:" + busybox: busybox, busybox[:20]: busybox, "sha256:" + mine[:12]: mine,
		"busybox": busybox, "busybox:latest": busybox, "busybox:1.36": busybox, "library/busybox": busybox,
		"docker.io/busybox": busybox, "docker.io/library/busybox:1.36": busybox,
		"busybox@" + img.Digest: busybox, "docker.io/library/busybox@" + img.Digest: busybox,
		"mine": mine, "localhost/mine": mine, "localhost/mine:latest": mine,
		"registry.example.com:5000/team/app:v2": registry, "app:v2": registry, "team/app:v2": registry,
		"other": other, "team/other": other, "ghcr.io/x/tool": second,
	} {
		if got, err := s.Lookup(ref); err != nil || got.ID != want {
			t.Errorf("Lookup(%s) = %v, %v; want %s", ref, got, err, want)
		}
	}
	for _, ref := range []string{
		"", "nope", "busybox:none", "app", "registry.example.com:5000/team/app", "x/other", "ybox", "mine@sha256:" + strings.Repeat("0", 64),
		"sha256:busybox", strings.Repeat("0", 64), "docker.io/mine",
	} {
		if got, err := s.Lookup(ref); !errors.Is(err, store.ErrNotFound) || ref != "" && problem.HintOf(err) == "" {
			t.Errorf("Lookup(%s) = %v, %v", ref, got, err)
		}
	}
	if got, err := s.Lookup("tool"); !errors.Is(err, store.ErrAmbiguous) || !strings.Contains(err.Error(), other[:12]) {
		t.Errorf("a name that two registries have: %v, %v", got, err)
	}
}

func TestLookupAmbiguousID(t *testing.T) {
	s := open(t, store.Options{})
	seen := map[byte]string{}
	for n := 0; ; n++ { // 17 images at most share a first digit
		id := put(t, s, labelled(t, n))
		if first, ok := seen[id[0]]; ok {
			if got, err := s.Lookup(id[:1]); !errors.Is(err, store.ErrAmbiguous) || !strings.Contains(err.Error(), first[:12]) {
				t.Errorf("Lookup(%s) = %v, %v", id[:1], got, err)
			}
			return
		}
		seen[id[0]] = id
	}
}

func TestCandidates(t *testing.T) {
	o := store.Options{Root: t.TempDir() + "/root", RunRoot: t.TempDir(), Candidates: func(name string) []string { return []string{"corp.example/" + name} }}
	s := open(t, o)
	want := put(t, s, labelled(t, 1), "corp.example/app:latest")
	put(t, s, labelled(t, 2), "docker.io/library/app:latest")
	if got, err := s.Lookup("app"); err != nil || got.ID != want {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestNames(t *testing.T) {
	s := open(t, store.Options{})
	a := put(t, s, labelled(t, 1), "localhost/a:1")
	b := put(t, s, labelled(t, 2), "localhost/a:1") // the name moves
	for id, want := range map[string]int{a: 0, b: 1} {
		if img, err := s.Lookup(id); err != nil || len(img.Names) != want {
			t.Errorf("image has names %v, %v; want %d", img, err, want)
		}
	}
	if err := s.Tag(a, "localhost/a:1", "localhost/b:1"); err != nil {
		t.Fatal(err)
	}
	if img, err := s.Lookup("a:1"); err != nil || img.ID != a {
		t.Errorf("the name did not come back: %v, %v", img, err)
	}
	if err := s.Untag(a, "localhost/a:1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lookup("a:1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the name is there still: %v", err)
	}
	if err := s.Tag(strings.Repeat("0", 64), "localhost/x:1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("tag of nothing: %v", err)
	}
	if err := s.Remove(strings.Repeat("0", 64)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("remove of nothing: %v", err)
	}
	for _, id := range []string{a, b} {
		if err := s.Remove(id); err != nil {
			t.Error(err)
		}
	}
	for _, name := range names(t, s.Root()+"/overlay") {
		if len(name) == 64 {
			t.Errorf("layer %s is left", name)
		}
	}
}

func TestSplitName(t *testing.T) {
	for name, want := range map[string][2]string{
		"a": {"a", ""}, "a:b": {"a", "b"}, "h:5000/a": {"h:5000/a", ""}, "h:5000/a:t": {"h:5000/a", "t"},
		"a@sha256:0": {"a", "sha256:0"}, "h:1/a:t@sha256:0": {"h:1/a", "sha256:0"}, "": {"", ""}, ":": {"", ""},
	} {
		if repo, tag := store.SplitName(name); repo != want[0] || tag != want[1] {
			t.Errorf("SplitName(%q) = %q, %q; want %q", name, repo, tag, want)
		}
	}
}
