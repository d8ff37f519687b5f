package store

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// TestReadDirs reads layers as the overlay driver lays them out.
func TestReadDirs(t *testing.T) {
	home := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{home}, parts...)...) }
	for _, d := range []string{"l", "base/diff", "top/diff", "top/work", "top/diff1", "own/diff", "own/work", "own/merged", "full/diff", "full/merged", "bad/diff", "cut/diff"} {
		if err := os.MkdirAll(at(d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"l/A": "../top/diff", "l/B": "../base/diff", "l/C": "../gone/diff"} {
		if err := os.Symlink(to, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"top/lower": "l/B", "own/lower": "l/A:l/B", "full/lower": "l/B", "full/" + copiedMark: "", "bad/lower": "l/B:l/C", "cut/lower": ""} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		got  Dirs
		want map[string]string
	}{
		"a container's":     {ReadDirs(at("own")), map[string]string{"LowerDir": at("top/diff") + ":" + at("base/diff"), "UpperDir": at("own/diff"), "WorkDir": at("own/work")}},
		"with more of it":   {ReadDirs(at("top")), map[string]string{"LowerDir": at("top/diff1") + ":" + at("base/diff"), "UpperDir": at("top/diff"), "WorkDir": at("top/work")}},
		"the lowest":        {ReadDirs(at("base")), map[string]string{"UpperDir": at("base/diff")}},
		"a full copy":       {ReadDirs(at("full")), map[string]string{"MergedDir": at("full/merged")}},
		"a part is gone":    {ReadDirs(at("bad")), map[string]string{"UpperDir": at("bad/diff")}},
		"after a power cut": {ReadDirs(at("cut")), map[string]string{"UpperDir": at("cut/diff")}},
		"gone":              {ReadDirs(at("none")), nil},
		"not in the store":  {ReadOwn(at("none"), at("top")), nil},
	} {
		if got := tc.got.Map(); !maps.Equal(got, tc.want) || (got == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	if err := os.MkdirAll(at("s/upper"), 0o700); err != nil {
		t.Fatal(err)
	}
	got := ReadOwn(at("s"), at("top")).Map()
	if want := at("top/diff") + ":" + at("top/diff1") + ":" + at("base/diff"); got["LowerDir"] != want || got["UpperDir"] != at("s/upper") {
		t.Errorf("in its own directory: %v", got)
	}
}
