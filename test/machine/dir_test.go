package machine

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// What a killed run left goes with the next one; what is in use stays.
func TestMakeDirSweeps(t *testing.T) {
	kind := "test" + strconv.Itoa(os.Getpid())
	stale, err := os.MkdirTemp("/var/tmp", "nook-"+kind+"-")
	if err != nil {
		t.Fatal(err)
	}
	var swept []string
	sweep := func(name string) error { swept = append(swept, name); return nil }
	first, err := MakeDir(kind, sweep)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); err == nil || !slices.Equal(swept, []string{filepath.Base(stale)}) {
		t.Errorf("%s: error %v, swept %q", stale, err, swept)
	}
	second, err := MakeDir(kind, sweep)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(first.Path); err != nil || len(swept) != 1 {
		t.Errorf("a directory in use was swept: %v", err)
	}
	for _, d := range []*WorkDir{first, second} {
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(d.Path); err == nil {
			t.Errorf("%s is left", d.Path)
		}
	}
}
