package container

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/problem"
)

func TestWholeDisk(t *testing.T) {
	dir := t.TempDir()
	part := filepath.Join(dir, "devices", "sdq", "sdq1")
	if err := os.MkdirAll(part, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(part, "partition"), []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"8:16": "devices/sdq", "8:17": "devices/sdq/sdq1"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, minor := range []int64{16, 99} { // the disk, and one that sysfs does not know
		if err := wholeDisk(dir, "/dev/x", ocispec.DeviceNumber{Major: 8, Minor: minor}); err != nil {
			t.Errorf("8:%d: %v", minor, err)
		}
	}
	err := wholeDisk(dir, "/dev/sdq1", ocispec.DeviceNumber{Major: 8, Minor: 17})
	if !errors.Is(err, ErrPartition) || !strings.Contains(err.Error(), "/dev/sdq1") {
		t.Fatalf("partition: %v", err)
	}
	if hint := problem.HintOf(err); !strings.HasSuffix(hint, ": /dev/sdq") {
		t.Errorf("hint: %q", hint)
	}
}

func TestLifted(t *testing.T) {
	set := func(file, value string) cgroups.Write {
		return cgroups.Write{Controller: "io", File: file, Value: value}
	}
	old := []cgroups.Write{
		set("io.max", "8:0 rbps=1"), set("io.max", "8:0 wbps=2"), set("io.max", "8:16 wbps=3"),
		set("io.bfq.weight", "50"), set("io.bfq.weight", "8:0 60"),
		{Controller: "memory", File: "memory.max", Value: "1"},
	}
	now := []cgroups.Write{set("io.max", "8:0 wbps=9")}
	want := []cgroups.Write{
		{Controller: "io", File: "io.max", Value: "8:0 rbps=max", Optional: true},
		{Controller: "io", File: "io.max", Value: "8:16 wbps=max", Optional: true},
		{Controller: "io", File: "io.bfq.weight", Value: "8:0 default", Optional: true},
	}
	if got := lifted(old, now); !reflect.DeepEqual(got, want) {
		t.Errorf("lifted\n%+v\nwant\n%+v", got, want)
	}
	if got := lifted(old, old); got != nil {
		t.Errorf("nothing changes, and it lifts %+v", got)
	}
}

// What is not asked for any more is as before the first limit.
func TestRestored(t *testing.T) {
	var values []string
	for _, w := range restored(nil, spec.Resources{BlkioWeight: 500, CPUQuota: 1000, Memory: 1 << 30}, spec.Resources{}) {
		values = append(values, w.File+"="+w.Value)
		if w.File == "io.bfq.weight" && (w.Or == nil || w.Or.File != "io.weight" || w.Or.Value != "100") {
			t.Errorf("no other file for %+v", w)
		}
	}
	if got, want := strings.Join(values, " "), "cpu.max=max memory.max=max io.bfq.weight=100"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
