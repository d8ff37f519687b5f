package userns

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/problem"
)

// Expected values are those of podman-run(1), --uidmap.
func TestCustom(t *testing.T) {
	shared := []Extent{{0, 1000, 1}, {1, 100000, 65536}}
	groups := []Extent{{0, 1000, 1}, {1, 100000, 65536}, {65537, 2000, 1}}
	for name, tc := range map[string]struct {
		list []Mapping
		want []Extent
		err  string
	}{
		"nothing":         {nil, []Extent{{0, 0, 1}, {1, 1, 65536}}, ""},
		"one":             {[]Mapping{{Size: 1000}}, []Extent{{0, 0, 1}, {1, 1, 999}}, ""},
		"two":             {[]Mapping{{0, 1, 1, false, false}, {1, 0, 1, false, false}}, []Extent{{0, 1, 1}, {1, 0, 1}}, ""},
		"neighbours":      {[]Mapping{{10, 11, 5, false, false}, {0, 1, 10, false, false}}, []Extent{{0, 1, 15}}, ""},
		"replaced":        {[]Mapping{{0, 0, 65000, false, false}, {100000, 1, 1, false, true}}, []Extent{{0, 0, 1}, {2, 2, 64998}, {100000, 1, 1}}, ""},
		"replaced inside": {[]Mapping{{0, 0, 100, false, false}, {50, 200, 1, false, true}}, []Extent{{0, 0, 1}, {1, 1, 49}, {50, 200, 1}, {51, 51, 49}}, ""},
		"extended":        {[]Mapping{{1000, 0, 1, false, true}}, []Extent{{0, 1, 1000}, {1000, 0, 1}, {1001, 1001, 64536}}, ""},
		"of the host":     {[]Mapping{{0, 1, 10, false, false}, {20, 1000, 1, true, false}}, []Extent{{0, 1, 10}, {20, 0, 1}}, ""},
		"host, in pieces": {[]Mapping{{0, 100000, 3, true, false}}, []Extent{{0, 1, 3}}, ""},
		"not mine":        {[]Mapping{{0, 65530, 10, false, false}}, nil, ErrNotYours.Error()},
		"host, not mine":  {[]Mapping{{0, 4711, 1, true, true}}, nil, ErrNotYours.Error()},
		"twice inside":    {[]Mapping{{0, 0, 10, false, false}, {9, 100, 1, false, false}}, nil, ErrMappedTwice.Error()},
		"twice outside":   {[]Mapping{{0, 0, 10, false, false}, {100, 9, 1, false, false}}, nil, ErrMappedTwice.Error()},
		"no root":         {[]Mapping{{1, 0, 1, false, false}}, nil, ErrNoRoot.Error()},
		"empty":           {[]Mapping{{0, 0, 0, false, false}}, nil, "out of range"},
		"too large":       {[]Mapping{{1, 0, 1<<32 - 1, false, false}}, nil, "out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Custom(Map{shared, shared}, tc.list, []Mapping{{Size: 1}})
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Fatalf("err = %v, want %q", err, tc.err)
			}
			if err == nil && !reflect.DeepEqual(got.UIDs, tc.want) {
				t.Errorf("got %v, want %v", got.UIDs, tc.want)
			}
		})
	}
	// A group of the host's beside all others, as in the manual.
	got, err := Custom(Map{shared, groups}, nil, []Mapping{{102000, 2000, 1, true, true}})
	if want := []Extent{{0, 0, 1}, {1, 1, 65536}, {102000, 65537, 1}}; err != nil || !reflect.DeepEqual(got.GIDs, want) {
		t.Errorf("got %v, %v; want %v", got.GIDs, err, want)
	}
	_, err = Custom(Map{shared, shared}, nil, []Mapping{{0, 2000, 1, true, true}})
	if hint := problem.HintOf(err); !errors.Is(err, ErrNotYours) || !strings.Contains(hint, "--add-subgids 2000-2000") {
		t.Errorf("%v, hint %q", err, hint)
	}
}

// Whatever the list, the kernel takes the map: no id is there twice on a side.
func TestCustomNeverOverlaps(t *testing.T) {
	cur := []Extent{{0, 1000, 1}, {1, 5000, 40}, {50, 9000, 30}}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a fixed sequence is wanted
	planned := 0
	for range 20000 {
		var list []Mapping
		for range 1 + r.IntN(4) {
			list = append(list, Mapping{r.Uint32N(90), r.Uint32N(80), 1 + r.Uint32N(20), false, r.IntN(3) > 0})
		}
		m, err := Custom(Map{cur, cur}, list, nil)
		if err != nil {
			continue
		}
		planned++
		for i, a := range m.UIDs {
			in := func(c Extent) bool {
				r := Range{c.Inside, c.Size}
				return r.has(a.Outside) && r.has(a.Outside+a.Size-1)
			}
			if !slices.ContainsFunc(cur, in) {
				t.Fatalf("%v: %v is not within one range of the map above", list, a)
			}
			for _, b := range m.UIDs[i+1:] {
				if conflict(a, b) {
					t.Fatalf("%v: %v and %v overlap", list, a, b)
				}
			}
		}
		end := list[len(list)-1]
		if e := (Extent{end.Inside, end.Outside, end.Size}); !mapsAll(m.UIDs, e) {
			t.Fatalf("%v: the last mapping is not in %v", list, m.UIDs)
		}
	}
	if planned < 1000 {
		t.Errorf("only %d lists make a map", planned)
	}
}

func mapsAll(m []Extent, want Extent) bool {
	for i := range want.Size {
		found := false
		for _, e := range m {
			found = found || (Range{e.Inside, e.Size}).has(want.Inside+i) && e.Outside+(want.Inside+i-e.Inside) == want.Outside+i
		}
		if !found {
			return false
		}
	}
	return true
}

func TestAuto(t *testing.T) {
	shared := []Extent{{0, 1000, 1}, {1, 100000, 65536}}
	cur := Map{shared, shared}
	free := FreeRanges(cur, 1024, []Range{{60000, 5000}})
	if len(free) < 50 || free[0] != (Range{58976, 1024}) || free[1] != (Range{57952, 1024}) {
		t.Errorf("free: %v", free)
	}
	if free[len(free)-1].Start == 0 {
		t.Error("the user's own id is handed out")
	}
	if f := FreeRanges(cur, 65537, nil); f != nil {
		t.Errorf("more than there are: %v", f)
	}
	gap := Map{[]Extent{{0, 1000, 1}, {1, 5000, 10}, {20, 9000, 10}}, shared}
	if f := FreeRanges(gap, 8, nil); !reflect.DeepEqual(f, []Range{{22, 8}, {3, 8}}) {
		t.Errorf("with a gap: %v", f)
	}
	m, err := Auto(cur, 1000, 10, []Mapping{{5, 0, 1, false, false}}, nil)
	want := Map{[]Extent{{0, 1000, 5}, {5, 0, 1}, {6, 1005, 4}}, []Extent{{0, 1000, 10}}}
	if err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("got %v, %v; want %v", m, err, want)
	}
	if _, err := Auto(cur, 65000, 1024, nil, nil); !errors.Is(err, ErrNotYours) {
		t.Errorf("a range beyond the end: %v", err)
	}
}
