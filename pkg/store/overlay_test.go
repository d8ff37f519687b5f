package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/sys"
)

// TestOverlayMount mounts both ways, with names that the options' own syntax
// would trip over and with paths longer than an option.
func TestOverlayMount(t *testing.T) {
	for _, tc := range []struct {
		onePage bool
		dir     string
	}{{false, `a:b,c=d\e`}, {true, `a:b,c=d\e`}, {false, strings.Repeat("n", 250)}, {true, strings.Repeat("n", 250)}} {
		onePage, base := tc.onePage, filepath.Join(t.TempDir(), tc.dir)
		dir := func(name string) string {
			path := filepath.Join(base, name)
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			return path
		}
		o := sys.Overlay{UserXattr: true, Upper: dir("upper"), Work: dir("work"), Scratch: dir("scratch"), OnePage: onePage}
		for _, n := range []string{"1", "2", "3"} {
			o.Lower = append(o.Lower, dir("lower"+n))
			if err := os.WriteFile(filepath.Join(base, "lower"+n, "top"), []byte(n), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f, err := sys.MountOverlay(o)
		if err != nil {
			t.Fatalf("one page %v: %v", onePage, err)
		}
		root := "/proc/self/fd/" + itoa(int(f.Fd()))
		if data, err := os.ReadFile(root + "/top"); string(data) != "1" {
			t.Errorf("one page %v: the uppermost layer is %q, %v", onePage, data, err)
		}
		if err := os.WriteFile(root+"/new", nil, 0o600); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(o.Upper, "new")); err != nil {
			t.Errorf("one page %v: %v", onePage, err)
		}
		f.Close()
		if got := names(t, o.Scratch); len(got) > 0 {
			t.Errorf("one page %v: mounted still: %q", onePage, got)
		}
	}
}
