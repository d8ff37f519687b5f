package container

import (
	"fmt"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/libpod/volume"
)

func TestInherit(t *testing.T) {
	have := []spec.Mount{{Type: spec.MountTmpfs, Target: "/mine"}}
	other := []spec.Mount{
		{Type: spec.MountVolume, Target: "/a", Volume: "x", OwnName: true, Chown: true},
		{Type: spec.MountBind, Target: "/b", Source: "/src", Options: []string{"noexec"}},
		{Type: spec.MountVolume, Target: "/mine/", Volume: "hidden"},
		{Type: spec.MountTmpfs, Target: "/t"},
		{Type: spec.MountImage, Target: "/i"},
	}
	got := inherit(have, other, syntax.Inheritance{ReadOnly: true, Options: []string{"z"}})
	want := []spec.Mount{
		{Type: spec.MountVolume, Target: "/a", Volume: "x", ReadOnly: true, Options: []string{"z"}},
		{Type: spec.MountBind, Target: "/b", Source: "/src", ReadOnly: true, Options: []string{"noexec", "z"}},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if len(other[1].Options) != 1 {
		t.Error("the other container's record changed")
	}
}

func TestImageVolumes(t *testing.T) {
	asked := []spec.Mount{{Type: spec.MountBind, Source: "/s", Target: "/a"}}
	for mode, want := range map[string]string{
		spec.ImageVolumeAnonymous: "bind:/a volume:/b",
		spec.ImageVolumeTmpfs:     "bind:/a tmpfs:/b",
		spec.ImageVolumeIgnore:    "bind:/a",
	} {
		got, err := imageVolumes(asked, []string{"/a/", "b"}, mode)
		text := ""
		for _, m := range got {
			text += " " + m.Type + ":" + m.Target
		}
		if err != nil || text != " "+want {
			t.Errorf("%q: got%s, %v; want %s", mode, text, err, want)
		}
	}
	if _, err := imageVolumes(nil, []string{"/.."}, ""); err == nil {
		t.Error("a volume over the root was taken")
	}
}

func TestOutside(t *testing.T) {
	maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1, Size: 5000}, {ContainerID: 5000, HostID: 0, Size: 1}}
	for in, want := range map[uint32]uint32{0: 1, 4999: 5000, 5000: 0} {
		if got, err := outside(maps, in); err != nil || got != want {
			t.Errorf("%d: got %d, %v; want %d", in, got, err, want)
		}
	}
	if _, err := outside(maps, 5001); err == nil {
		t.Error("an id that does not exist was translated")
	}
	if got, err := outside(nil, 7); err != nil || got != 7 {
		t.Errorf("without maps: %d, %v", got, err)
	}
}

func TestChownable(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	for dir, ok := range map[string]bool{
		"/": false, "/home": false, "/home/me": false, "/home/me/": false, "/etc": false, "/tmp": false, "/home/me/../../usr": false,
		"/home/me/src": true, "/home/metoo": true, "/srv/data": true, "/data": true,
	} {
		if err := chownable(dir); (err == nil) != ok {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestMemoryOptions(t *testing.T) {
	m := spec.Mount{ReadOnly: true, Chown: true, Options: []string{"rbind", "z", "noexec"}}
	got := memoryOptions(&m, volume.Backing{Options: []string{"size=1m"}}, specs.User{UID: 3, GID: 4})
	if want := "[nosuid nodev size=1m tmpcopyup uid=3 gid=4 noexec ro]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
