package ocispec

import (
	"slices"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
)

func TestExpand(t *testing.T) {
	values := map[string]string{"A": "one", "LONG_2": "two"}
	for text, want := range map[string]string{
		"": "", "plain": "plain", "$A": "one", "${A}b": "oneb", "$A:$LONG_2": "one:two", "$NOTHING!": "!",
		"$": "$", "a$": "a$", "$$A": "$one", "${": "${", "${}": "${}", "${A": "${A", "$2A": "$2A", "$A$A": "oneone",
	} {
		if got := Expand(text, func(name string) string { return values[name] }); got != want {
			t.Errorf("Expand(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestEnvLayers(t *testing.T) {
	in := Input{ID: "0123456789abcdef", User: User{Home: "/root"}}
	in.Image.Env = []string{"LANG=C", "PROXY=image", "HOST=image", "PATH=/image"}
	in.Spec.Env = []string{"MINE=1", "GONE=kept"}
	in.Spec.Session = spec.Session{
		HostEnv: []string{"HOST=host", "ONLY=host", "HOME=/home/user"}, ProxyEnv: []string{"PROXY=host"},
		MergeEnv: []string{"PATH=${PATH}:/more"}, DropEnv: []string{"LANG", "GONE"},
	}
	for name, tc := range map[string]struct {
		all  bool
		want []string
	}{
		"each above the one before": {false, []string{
			"HOST=image", "ONLY=host", "HOME=/root", "PATH=/image:/more", "container=nook", "HOSTNAME=0123456789ab",
			"PROXY=host", "MINE=1", "GONE=kept",
		}},
		"without defaults": {true, []string{"HOSTNAME=0123456789ab", "HOME=/root", "PATH=:/more", "MINE=1", "GONE=kept"}},
	} {
		in.Spec.Session.DropAllEnv = tc.all
		got, err := Env(in)
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, tc.want)
		}
	}
}
