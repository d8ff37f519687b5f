package userns

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/nook-containers/nook/pkg/problem"
)

// A Mapping asks for Size ids of a container, from Inside upward.
type Mapping struct {
	Inside, Outside, Size uint32
	// Host means that Outside counts in ids of the host, else in those of the
	// namespace that the map is planned in.
	Host bool
	// Extend gives up what earlier mappings have of the same ids; else that is an
	// error. The first of a list extends the map that would be without the list.
	Extend bool
}

var (
	// ErrNoRoot means that a container would have no id 0, so that nobody could set
	// it up.
	ErrNoRoot = errors.New("id 0 of the container is not mapped")
	// ErrNotYours means an id that the user does not have.
	ErrNotYours = errors.New("is not among your ids")
	// ErrMappedTwice means that two mappings have an id in common.
	ErrMappedTwice = errors.New("mapped twice")
)

// Custom plans the map of a container's own user namespace from mappings
// (podman-run(1), --uidmap and --gidmap). cur is the map of the namespace that it
// is made in; Outside in the result are ids of that one. An empty list keeps all
// ids as they are.
func Custom(cur Map, uidList, gidList []Mapping) (Map, error) {
	u, err := custom(uids, cur.UIDs, uidList)
	if err != nil {
		return Map{}, err
	}
	g, err := custom(gids, cur.GIDs, gidList)
	return Map{UIDs: u, GIDs: g}, err
}

func custom(k kind, cur []Extent, list []Mapping) ([]Extent, error) {
	if len(list) == 0 {
		return splitAlong(cur, identity(cur)), nil
	}
	var m []Extent
	for _, want := range list {
		pieces, err := locate(k, cur, want)
		if err != nil {
			return nil, fmt.Errorf("map %ss: %w", k, err)
		}
		for _, p := range pieces {
			if want.Extend {
				m = without(m, p)
			} else if at := slices.IndexFunc(m, func(e Extent) bool { return conflict(e, p) }); at >= 0 {
				return nil, problem.Hint(fmt.Errorf("map %ss: %d:%d:%d: %w, also by %d:%d:%d", k, p.Inside, p.Outside, p.Size,
					ErrMappedTwice, m[at].Inside, m[at].Outside, m[at].Size), "put a + before a mapping that replaces parts of others")
			}
			m = append(m, p)
		}
	}
	if list[0].Extend {
		m = fill(m, identity(cur), math.MaxUint32)
	}
	return finish(k, cur, m)
}

// finish checks a map, and puts it in the kernel's order in as few lines as can be.
func finish(k kind, cur, m []Extent) ([]Extent, error) {
	m = splitAlong(cur, merged(m))
	if len(m) > maxExtents {
		return nil, fmt.Errorf("map %ss: %d ranges are more than the %d that the kernel takes", k, len(m), maxExtents)
	}
	if !contains(m, 0) {
		return nil, problem.Hint(fmt.Errorf("map %ss: %w", k, ErrNoRoot), "add: --%smap 0:1:1; or put a + before the first mapping", k)
	}
	return m, nil
}

// identity maps every id of cur to itself.
func identity(cur []Extent) []Extent {
	var m []Extent
	for _, e := range cur {
		m = append(m, Extent{Inside: e.Inside, Outside: e.Inside, Size: e.Size})
	}
	return merged(m)
}

// locate cuts a mapping into pieces whose Outside are consecutive ids of the
// namespace that cur is the map of.
func locate(k kind, cur []Extent, want Mapping) ([]Extent, error) {
	if want.Size == 0 || uint64(want.Inside)+uint64(want.Size) > math.MaxUint32 || uint64(want.Outside)+uint64(want.Size) > math.MaxUint32 {
		return nil, fmt.Errorf("%d:%d:%d: out of range", want.Inside, want.Outside, want.Size)
	}
	if !want.Host {
		if !covers(cur, Range{want.Outside, want.Size}) {
			return nil, fmt.Errorf("%d:%d:%d: %d %w, which are 0 to %d", want.Inside, want.Outside, want.Size, want.Outside+want.Size-1, ErrNotYours, last(cur))
		}
		return []Extent{{want.Inside, want.Outside, want.Size}}, nil
	}
	var pieces []Extent
	for done := uint32(0); done < want.Size; {
		id := want.Outside + done
		at := slices.IndexFunc(cur, func(e Extent) bool { return Range{e.Outside, e.Size}.has(id) })
		if at < 0 {
			return nil, problem.Hint(fmt.Errorf("@%d: this %s of the host %w", id, k, ErrNotYours), "run: sudo usermod --add-sub%ss %d-%d $USER", k, id, id)
		}
		e := cur[at]
		n := min(want.Size-done, e.Size-(id-e.Outside))
		pieces = append(pieces, Extent{want.Inside + done, e.Inside + (id - e.Outside), n})
		done += n
	}
	return pieces, nil
}

func last(cur []Extent) (id uint32) {
	for _, e := range cur {
		id = max(id, e.Inside+e.Size-1)
	}
	return id
}

func conflict(a, b Extent) bool {
	return Range{a.Inside, a.Size}.overlaps(Range{b.Inside, b.Size}) || Range{a.Outside, a.Size}.overlaps(Range{b.Outside, b.Size})
}

// without takes from m the ids that p has, on either side.
func without(m []Extent, p Extent) []Extent {
	var out []Extent
	for _, e := range m {
		out = append(out, cut(e, Range{p.Inside, p.Size}, e.Inside)...)
	}
	m, out = out, nil
	for _, e := range m {
		out = append(out, cut(e, Range{p.Outside, p.Size}, e.Outside)...)
	}
	return out
}

// cut removes r, which counts in the ids that begin with first in e.
func cut(e Extent, r Range, first uint32) []Extent {
	if !(Range{first, e.Size}).overlaps(r) {
		return []Extent{e}
	}
	var out []Extent
	if r.Start > first {
		out = append(out, Extent{e.Inside, e.Outside, r.Start - first})
	}
	if end := uint64(first) + uint64(e.Size); r.end() < end {
		n := uint32(r.end() - uint64(first)) //nolint:gosec // less than Size
		out = append(out, Extent{e.Inside + n, e.Outside + n, e.Size - n})
	}
	return out
}

// fill gives the ids from 0 to below limit that m lacks those of pool that it does
// not use, in order.
func fill(m, pool []Extent, limit uint32) []Extent {
	for _, e := range m {
		var left []Extent
		for _, p := range pool {
			left = append(left, cut(p, Range{e.Outside, e.Size}, p.Outside)...)
		}
		pool = left
	}
	free := []Extent{{Size: limit}}
	for _, e := range m {
		var left []Extent
		for _, f := range free {
			left = append(left, cut(f, Range{e.Inside, e.Size}, f.Inside)...)
		}
		free = left
	}
	for len(pool) > 0 && len(free) > 0 {
		n := min(pool[0].Size, free[0].Size)
		m = append(m, Extent{free[0].Inside, pool[0].Outside, n})
		pool, free = advance(pool, n), advance(free, n)
	}
	return m
}

// advance drops n ids from the front of list, which its first entry has.
func advance(list []Extent, n uint32) []Extent {
	e := list[0]
	if e.Size == n {
		return list[1:]
	}
	list = slices.Clone(list)
	list[0] = Extent{e.Inside + n, e.Outside + n, e.Size - n}
	return list
}

// merged sorts m by Inside and makes one of extents that continue each other.
func merged(m []Extent) []Extent {
	m = slices.Clone(m)
	slices.SortFunc(m, func(a, b Extent) int { return compare(a.Inside, b.Inside) })
	var out []Extent
	for _, e := range m {
		if n := len(out) - 1; n >= 0 && uint64(out[n].Inside)+uint64(out[n].Size) == uint64(e.Inside) &&
			uint64(out[n].Outside)+uint64(out[n].Size) == uint64(e.Outside) {
			out[n].Size += e.Size
			continue
		}
		out = append(out, e)
	}
	return out
}

// splitAlong cuts m where cur has a boundary: the kernel wants each range of a map
// within one range of the map above it.
func splitAlong(cur, m []Extent) []Extent {
	var out []Extent
	for _, e := range m {
		for e.Size > 0 {
			n := e.Size
			for _, c := range cur {
				if (Range{c.Inside, c.Size}).has(e.Outside) {
					n = min(n, c.Size-(e.Outside-c.Inside))
				}
			}
			out = append(out, Extent{e.Inside, e.Outside, n})
			e = Extent{e.Inside + n, e.Outside + n, e.Size - n}
		}
	}
	return out
}

func compare(a, b uint32) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Auto plans the map of a container that shares no id with others of its kind
// (podman-run(1), --userns=auto): size ids from 0 upward, which are the ids from
// first upward of the namespace that cur is the map of. forced have precedence.
func Auto(cur Map, first, size uint32, uidList, gidList []Mapping) (Map, error) {
	u, err := auto(uids, cur.UIDs, Range{first, size}, uidList)
	if err != nil {
		return Map{}, err
	}
	g, err := auto(gids, cur.GIDs, Range{first, size}, gidList)
	return Map{UIDs: u, GIDs: g}, err
}

func auto(k kind, cur []Extent, r Range, forced []Mapping) ([]Extent, error) {
	if !covers(cur, r) {
		return nil, fmt.Errorf("map %ss: the container's ids %d to %d: %w any more", k, r.Start, r.end()-1, ErrNotYours)
	}
	var m []Extent
	for _, want := range forced {
		pieces, err := locate(k, cur, want)
		if err != nil {
			return nil, fmt.Errorf("map %ss: %w", k, err)
		}
		for _, p := range pieces {
			m = append(without(m, p), p)
		}
	}
	return finish(k, cur, fill(m, []Extent{{Inside: r.Start, Outside: r.Start, Size: r.Count}}, r.Count))
}

// FreeRanges lists where size ids from one upward are yours as uids and as gids
// and not in taken, from the largest ids down: ordinary containers use small ones.
func FreeRanges(cur Map, size uint32, taken []Range) []Range {
	var out []Range
	if size == 0 {
		return nil
	}
	for at := int64(last(cur.UIDs)) + 1 - int64(size); at > 0; {
		r := Range{uint32(at), size} //nolint:gosec // within the ids of a map
		i := slices.IndexFunc(taken, r.overlaps)
		switch {
		case i >= 0:
			at = int64(taken[i].Start) - int64(size)
		case covers(cur.UIDs, r) && covers(cur.GIDs, r):
			out = append(out, r)
			at -= int64(size)
		default:
			at-- // a gap
		}
	}
	return out
}
