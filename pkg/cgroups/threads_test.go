package cgroups

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestHasRoom(t *testing.T) {
	top := t.TempDir() // like the root group, it has no such files
	family := filepath.Join(top, "family")
	dir := filepath.Join(family, "member")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, max, current, familyMax, familyCurrent string
		want                                         bool
	}{
		{"no limit", "max", "1000", "max", "1000", true},
		{"just enough", "10", "6", "max", "6", true},
		{"one too few", "10", "7", "max", "7", false},
		{"nothing allowed", "0", "0", "max", "0", false},
		{"lowered below what there is", "3", "9", "max", "9", false},
		{"the family's", "max", "1", "10", "7", false},
	} {
		for name, text := range map[string]string{
			"member/pids.max": c.max, "member/pids.current": c.current, "pids.max": c.familyMax, "pids.current": c.familyCurrent,
		} {
			if err := os.WriteFile(filepath.Join(family, name), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := HasRoom(dir, 4); got != c.want || err != nil {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	if got, err := HasRoom(top, 1<<40); !got || err != nil {
		t.Errorf("without the controller: %v, %v", got, err)
	}
}

func TestHoldBack(t *testing.T) {
	all := []Write{{File: "memory.max", Value: "3"}, {File: pidsMax, Value: "3"}, {File: pidsMax, Value: "4"}, {File: pidsMax, Value: "max"}}
	now, later := HoldBack(all, 4)
	if !slices.Equal(now, []Write{all[0], all[2], all[3]}) || !slices.Equal(later, all[1:2]) {
		t.Errorf("now %v, later %v", now, later)
	}
}
