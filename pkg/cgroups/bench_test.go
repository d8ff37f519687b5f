package cgroups

import (
	"path/filepath"
	"testing"
)

// What a container costs: finding its place, and making, opening and removing its
// group.
func BenchmarkFind(b *testing.B) {
	for b.Loop() {
		if _, err := Find(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGroup(b *testing.B) {
	h, err := Find()
	if err != nil {
		b.Fatal(err)
	}
	if h.Base == "" {
		b.Skip("no delegated part of a cgroup v2 tree")
	}
	dir := filepath.Join(h.Base, "bench-group")
	for b.Loop() {
		g, err := Make(dir)
		if err != nil {
			b.Fatal(err)
		}
		if err := Sweep(h.Base, "bench-none-"); err != nil {
			b.Fatal(err)
		}
		if err := Enable(h.Base, h.Base, nil); err != nil {
			b.Fatal(err)
		}
		if err := g.Remove(); err != nil {
			b.Fatal(err)
		}
	}
}
