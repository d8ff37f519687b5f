package image

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nook-containers/nook/pkg/store"
)

// made is an image with layers, given uppermost first, and steps of history.
func made(id string, layers []string, steps ...string) *listed {
	l := &listed{Image: &store.Image{ID: id, Layers: layers}}
	for _, s := range steps {
		l.history = append(l.history, v1.History{CreatedBy: s})
	}
	return l
}

func TestRelate(t *testing.T) {
	base := made("base", []string{"1"}, "FROM")
	middle := made("middle", []string{"2", "1"}, "FROM", "RUN a")
	config := made("config", []string{"2", "1"}, "FROM", "RUN a", "ENV x")
	top := made("top", []string{"3", "2", "1"}, "FROM", "RUN a", "ENV x", "RUN b")
	twin := made("twin", []string{"1"}, "import") // of the same files, but not related
	bare := made("bare", []string{"1"})           // without history
	other := made("other", []string{"4", "1"}, "FROM", "RUN c")
	all := []*listed{top, twin, config, bare, base, other, middle}
	relate(all)
	for _, tc := range []struct {
		l        *listed
		parent   string
		children bool
	}{
		{base, "", true},
		{middle, "base", true},
		{config, "middle", true},
		{top, "config", false},
		{twin, "", false},
		{bare, "", false},
		{other, "base", false},
	} {
		if tc.l.parent != tc.parent || tc.l.children != tc.children {
			t.Errorf("%s: parent %q, children %v; want %q, %v", tc.l.ID, tc.l.parent, tc.l.children, tc.parent, tc.children)
		}
	}
}

func TestFullName(t *testing.T) {
	for name, want := range map[string]string{
		"a": "localhost/a:latest", "a:1": "localhost/a:1", "team/a": "localhost/team/a:latest",
		"docker.io/busybox": "docker.io/library/busybox:latest", "h.example:5000/a/b:v": "h.example:5000/a/b:v",
		"localhost/a": "localhost/a:latest",
	} {
		if got, err := fullName(name, local); err != nil || got != want {
			t.Errorf("fullName(%s) = %q, %v; want %q", name, got, err, want)
		}
	}
	for _, bad := range []string{"", "UPPER", "a b", "a@sha256:0", "a:" + string(make([]byte, 1)), "../x", "a//b"} {
		if got, err := fullName(bad, local); err == nil {
			t.Errorf("%q was taken as %q", bad, got)
		}
	}
	if got, err := fullName("busybox", "docker.io"); err != nil || got != "docker.io/library/busybox:latest" {
		t.Errorf("in an archive: %q, %v", got, err)
	}
}
