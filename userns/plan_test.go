package userns

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/problem"
)

func TestPlanMap(t *testing.T) {
	alice := Identity{UID: 1000, GID: 100, User: "alice", Local: true}
	many := make([]Range, maxExtents)
	for i := range many {
		many[i] = Range{uint32(2000 + 2*i), 1} // short numbers: all lines fit a page
	}
	wide := make([]Range, 200) // few lines, but long ones: more than a page
	for i := range wide {
		wide[i] = Range{uint32(1000000000 + 10000000*i), 1000000}
	}
	for name, tc := range map[string]struct {
		u, g       []Range
		want       Map
		err        error
		text, hint string
	}{
		"no range": {want: Map{[]Extent{{0, 1000, 1}}, []Extent{{0, 100, 1}}}},
		"one range": {
			u: []Range{{100000, 65536}}, g: []Range{{200000, 65536}},
			want: Map{[]Extent{{0, 1000, 1}, {1, 100000, 65536}}, []Extent{{0, 100, 1}, {1, 200000, 65536}}},
		},
		"ranges in file order, different sizes": {
			u: []Range{{300000, 10}, {100000, 5}}, g: []Range{{100000, 65536}},
			want: Map{[]Extent{{0, 1000, 1}, {1, 300000, 10}, {11, 100000, 5}}, []Extent{{0, 100, 1}, {1, 100000, 65536}}},
		},
		"everything above": {
			u: []Range{{2000, math.MaxUint32 - 2000}}, g: []Range{{2000, math.MaxUint32 - 2000}},
			want: Map{
				[]Extent{{0, 1000, 1}, {1, 2000, math.MaxUint32 - 2000}},
				[]Extent{{0, 100, 1}, {1, 2000, math.MaxUint32 - 2000}},
			},
		},
		"own uid":        {u: []Range{{500, 1000}}, g: []Range{{500, 1000}}, err: ErrOwnID, text: "/etc/subuid: alice:500:1000", hint: "--del-subuids 500-1499 alice"},
		"own gid":        {u: []Range{{5000, 1000}}, g: []Range{{50, 51}}, err: ErrOwnID, text: "/etc/subgid", hint: "--del-subgids 50-100 alice"},
		"just below own": {u: []Range{{500, 500}}, g: []Range{{101, 1}}, want: Map{[]Extent{{0, 1000, 1}, {1, 500, 500}}, []Extent{{0, 100, 1}, {1, 101, 1}}}},
		"overlap":        {u: []Range{{5000, 100}, {5099, 1}}, g: []Range{{1, 1}}, err: ErrOverlap, text: "with 5000:100", hint: "--del-subuids 5099-5099 alice"},
		"empty":          {u: []Range{{5000, 0}}, g: []Range{{1, 1}}, err: ErrEmptyRange, hint: "sed -i '/^alice:5000:0$/d' /etc/subuid"},
		"too many lines": {u: many, g: many, err: ErrTooManyExtents, hint: "/etc/subuid"},
		"too many bytes": {u: []Range{{1, 1}}, g: wide, err: ErrTooManyExtents, hint: "/etc/subgid"},
		"uids only":      {u: []Range{{7000, 10}}, err: ErrOneSided, text: "no subgids", hint: "--add-subgids 7000-7009 alice"},
		"gids only":      {g: []Range{{7000, 10}}, err: ErrOneSided, text: "no subuids", hint: "--add-subuids 7000-7009 alice"},
		"as many as fit": {u: many[:maxExtents-1], g: many[:1], want: Map{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := PlanMap(alice, SubIDs{UIDs: tc.u, GIDs: tc.g})
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Fatalf("err = %v, want %v", err, tc.err)
			}
			if err != nil && (!strings.Contains(err.Error(), tc.text) || !strings.Contains(problem.HintOf(err), tc.hint)) {
				t.Errorf("error %q, hint %q; want %q, %q", err, problem.HintOf(err), tc.text, tc.hint)
			}
			if tc.want.UIDs != nil && !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if name == "as many as fit" && len(got.UIDs) != maxExtents {
				t.Errorf("%d extents, want %d", len(got.UIDs), maxExtents)
			}
		})
	}
}

func TestMapQuestions(t *testing.T) {
	m := Map{UIDs: []Extent{{0, 1000, 1}, {1, 100000, 10}}, GIDs: []Extent{{0, 1000, 1}, {5, 100000, 2}}}
	if u, g := m.Size(); u != 11 || g != 3 {
		t.Errorf("Size = %d, %d", u, g)
	}
	if !m.HasUID(10) || m.HasUID(11) || !m.HasGID(6) || m.HasGID(1) || m.Single() || m.initial() {
		t.Error("HasUID, HasGID, Single or initial is wrong")
	}
	all := []Extent{{0, 0, math.MaxUint32}}
	if !(Map{all, all}).initial() || !(Map{m.UIDs[:1], m.GIDs[:1]}).Single() {
		t.Error("initial or Single is wrong")
	}
	for r, want := range map[Range]bool{{0, 11}: true, {0, 12}: false, {10, 1}: true, {11, 1}: false} {
		if covers(m.UIDs, r) != want {
			t.Errorf("covers(%v) = %v", r, !want)
		}
	}
}

// Expected values are those of podman-run(1), "keep-id" and "nomap".
func TestNested(t *testing.T) {
	shared := []Extent{{0, 1000, 1}, {1, 100000, 65536}}
	cur := Map{shared, shared}
	split := Map{[]Extent{{0, 1000, 1}, {1, 5000, 10}, {11, 9000, 10}}, shared}
	for name, tc := range map[string]struct {
		plan func() (Map, error)
		want []Extent // uids
		err  string
	}{
		"keep-id":             {func() (Map, error) { return KeepID(cur, 1000, 1000, 0) }, []Extent{{0, 1, 1000}, {1000, 0, 1}, {1001, 1001, 64536}}, ""},
		"keep-id as root":     {func() (Map, error) { return KeepID(cur, 0, 0, 0) }, []Extent{{0, 0, 1}, {1, 1, 65536}}, ""},
		"keep-id beyond all":  {func() (Map, error) { return KeepID(cur, 70000, 0, 0) }, []Extent{{0, 1, 65536}, {70000, 0, 1}}, ""},
		"keep-id at the end":  {func() (Map, error) { return KeepID(cur, 65536, 0, 0) }, []Extent{{0, 1, 65536}, {65536, 0, 1}}, ""},
		"keep-id size":        {func() (Map, error) { return KeepID(cur, 10, 10, 100) }, []Extent{{0, 1, 10}, {10, 0, 1}, {11, 11, 90}}, ""},
		"keep-id small size":  {func() (Map, error) { return KeepID(cur, 1000, 10, 100) }, []Extent{{0, 1, 100}, {1000, 0, 1}}, ""},
		"keep-id, two ranges": {func() (Map, error) { return KeepID(split, 5, 5, 0) }, []Extent{{0, 1, 5}, {5, 0, 1}, {6, 6, 5}, {11, 11, 10}}, ""},
		"keep-id, no range":   {func() (Map, error) { return KeepID(Map{shared[:1], shared[:1]}, 1000, 1000, 0) }, []Extent{{1000, 0, 1}}, ""},
		"keep-id, last id":    {func() (Map, error) { return KeepID(cur, math.MaxUint32, 0, 0) }, nil, "out of range"},
		"keep-id, no root":    {func() (Map, error) { return KeepID(Map{shared[1:], shared}, 1, 1, 0) }, nil, ErrNotMapped.Error()},
		"nomap":               {func() (Map, error) { return NoMap(cur) }, []Extent{{0, 1, 65536}}, ""},
		"nomap, two ranges":   {func() (Map, error) { return NoMap(split) }, []Extent{{0, 1, 10}, {10, 11, 10}}, ""},
		"nomap, no range":     {func() (Map, error) { return NoMap(Map{shared[:1], shared[:1]}) }, nil, "no subordinate ids"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.plan()
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Fatalf("err = %v, want %q", err, tc.err)
			}
			if !reflect.DeepEqual(got.UIDs, tc.want) {
				t.Errorf("got %v, want %v", got.UIDs, tc.want)
			}
		})
	}
	full := Map{[]Extent{{0, 0, math.MaxUint32}}, []Extent{{0, 0, math.MaxUint32}}}
	m, err := KeepID(full, 7, 7, 0)
	if n, _ := m.Size(); err != nil || n != math.MaxUint32 {
		t.Errorf("keep-id of all ids maps %d, %v", n, err)
	}
}

func TestCurrentIsThisProcess(t *testing.T) {
	m, err := Current()
	if err != nil {
		t.Fatal(err)
	}
	if u, g := m.Size(); u == 0 || g == 0 {
		t.Errorf("Current = %v", m)
	}
}

func TestParseMap(t *testing.T) {
	got, err := parseMap("         0       1000          1\n         1     100000      65536\n")
	if want := []Extent{{0, 1000, 1}, {1, 100000, 65536}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"0 1\n", "a b c\n", "0 0 4294967296\n"} {
		if m, err := parseMap(bad); err == nil {
			t.Errorf("%q: got %v", bad, m)
		}
	}
}
