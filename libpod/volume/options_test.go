package volume_test

import (
	"fmt"
	"testing"

	"github.com/nook-containers/nook/libpod/volume"
)

func TestParseOptions(t *testing.T) {
	type opts = map[string]string
	for _, tc := range []struct {
		in   opts
		want string
	}{
		{nil, "directory  [] copy"},
		{opts{"o": "nocopy"}, "directory  [] nocopy"},
		{opts{"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=5,nodev"}, "tmpfs  [size=1m uid=5 nodev] copy"},
		{opts{"type": "none", "device": "/a/../b", "o": "bind,ro"}, "bind /b [bind ro] copy"},
		{opts{"type": "bind", "device": "/b"}, "bind /b [] copy"},
		{opts{"type": "none", "device": "/b"}, "error: option type=none needs o=bind"},
		{opts{"type": "none", "device": "b", "o": "bind"}, "error: option device=b: must be an absolute path"},
		{opts{"type": "bind", "device": "/b", "o": "uid=1"}, "error: option o=uid: the owner of a host directory is not changed"},
		{opts{"type": "nfs", "device": ":/x"}, "error: option type=nfs: only root can mount it"},
		{opts{"device": "/b"}, "error: option device=/b: needs a type"},
		{opts{"o": "size=1g"}, "error: option o=size=1g: only root can limit a directory"},
		{opts{"o": "ro"}, "error: option o=ro: give it where the volume is mounted, as in -v NAME:/path:ro"},
		{opts{"o": "uid=x"}, "error: option o=uid=x: want a number"},
		{opts{"o": "sideways"}, "error: option o=sideways: unknown"},
		{opts{"color": "red"}, `error: option "color": unknown`},
	} {
		b, err := volume.ParseOptions(tc.in)
		copying := "copy"
		if b.NoCopy {
			copying = "nocopy"
		}
		got := fmt.Sprint(b.Kind, " ", b.Device, " ", b.Options, " ", copying)
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != tc.want {
			t.Errorf("%v: got %q, want %q", tc.in, got, tc.want)
		}
	}
}
