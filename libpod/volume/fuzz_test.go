package volume_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/nook-containers/nook/libpod/volume"
)

// FuzzOptions: what is accepted needs no root, and means the same in any case of its
// letters.
func FuzzOptions(f *testing.F) {
	f.Add("none", "/a/../b", "bind,ro,NOCOPY")
	f.Add("tmpfs", "x", "size=1m,uid=0,gid=99999999999")
	f.Fuzz(func(t *testing.T, kind, device, o string) {
		b, err := volume.ParseOptions(map[string]string{"type": kind, "device": device, "o": o})
		if err != nil {
			return
		}
		if b.Device != "" && b.Device != filepath.Clean(b.Device) || b.Kind == volume.Bind && !filepath.IsAbs(b.Device) {
			t.Errorf("device %q is %q", device, b.Device)
		}
		for _, w := range b.Options {
			if key, _, _ := strings.Cut(w, "="); key != strings.ToLower(key) { // the kernel knows only small letters
				t.Errorf("%q: option %q", o, w)
			}
		}
		upper, err := volume.ParseOptions(map[string]string{"type": kind, "device": device, "o": strings.ToUpper(o)})
		if err == nil && (upper.NoCopy != b.NoCopy || len(upper.Options) != len(b.Options)) {
			t.Errorf("%q: %+v; in capitals %+v", o, b, upper)
		}
	})
}
