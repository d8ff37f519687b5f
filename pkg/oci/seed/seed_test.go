package seed

import (
	"os"
	"testing"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/sys"
)

func TestFits(t *testing.T) {
	group := os.Stdin // any other than nil
	s := &Seed{Child: sys.ChildOf(1 << 30), Sync: plan.NoFD, clone: 7}
	for name, c := range map[string]struct {
		seed   *Seed
		clone  uintptr
		join   []sys.Namespace
		cgroup *os.File
		want   bool
	}{
		"as sown":            {s, 7, nil, nil, true},
		"none":               {nil, 7, nil, nil, false},
		"used":               {&Seed{Sync: plan.NoFD, clone: 7}, 7, nil, nil, false},
		"other namespaces":   {s, 5, nil, nil, false},
		"namespaces to join": {s, 7, []sys.Namespace{{}}, nil, false},
		"another group":      {s, 7, nil, group, false},
	} {
		if got := c.seed.Fits(c.clone, c.join, c.cgroup); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	s.Moved(group)
	if !s.Fits(7, nil, group) || s.Fits(7, nil, nil) {
		t.Error("moved: it fits where it was, or not where it is")
	}
	if took := s.Take(); !took.Fits(7, nil, group) || s.PID() != 0 {
		t.Error("taken: it is not the other's alone")
	}
}
