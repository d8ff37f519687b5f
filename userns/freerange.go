package userns

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
)

// defaultCount is how many ids a user gets by default (SUB_UID_COUNT,
// login.defs(5)).
const defaultCount = 65536

// freeRange returns the first range that neither /etc/subuid nor /etc/subgid
// gives to anybody, within the bounds of login.defs(5), and whether there is one.
// In a user namespace it looks among the ids that m maps, from the first after
// the user's own where the usual bounds are not mapped at all.
func (h Host) freeRange(id Identity, m Map) (Range, bool) {
	b, taken, err := h.subordinates()
	if err != nil {
		return Range{}, false
	}
	if r, ok := firstGap(b, taken); ok && covers(m.UIDs, r) && covers(m.GIDs, r) {
		return r, true
	}
	if m.initial() { // ids below the bounds are those of users to come
		return Range{}, false
	}
	return nestedRange(id, m, taken)
}

// MoreIDs is the command that gives the user behind this process's namespace a
// further range, in units of the usual size, with which the id missing exists
// inside. It is empty where no range is free.
func MoreIDs(missing uint32) (string, error) { return Host{}.moreIDs(missing) }

func (h Host) moreIDs(missing uint32) (string, error) {
	m, err := h.currentMap()
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(m.UIDs, func(e Extent) bool { return e.Inside == 0 })
	j := slices.IndexFunc(m.GIDs, func(e Extent) bool { return e.Inside == 0 })
	if i < 0 || j < 0 {
		return "", ErrNotMapped
	}
	id, _, err := h.user(m.UIDs[i].Outside, m.GIDs[j].Outside)
	if err != nil {
		return "", err
	}
	b, taken, err := h.subordinates()
	if err != nil {
		return "", err
	}
	var have uint64 // PlanMap leaves no gap
	for _, e := range append(m.UIDs, m.GIDs...) {
		have = max(have, uint64(e.Inside)+uint64(e.Size))
	}
	b.count *= (uint64(missing)-min(uint64(missing), have))/b.count + 1
	r, ok := firstGap(b, taken)
	if !ok {
		return "", nil
	}
	return addRangeCommand(id, r), nil
}

// subordinates returns the bounds of subordinate ranges, and those given away.
func (h Host) subordinates() (b bounds, taken []Range, err error) {
	u, uerr := h.read(uids.file())
	g, gerr := h.read(gids.file())
	defs, derr := h.read("/etc/login.defs")
	if err := errors.Join(uerr, gerr, derr); err != nil {
		return bounds{}, nil, err
	}
	for _, e := range append(parseSubIDFile(u), parseSubIDFile(g)...) {
		taken = append(taken, e.Range)
	}
	return parseLoginDefs(defs), taken, nil
}

// bounds of subordinate ranges.
type bounds struct{ lowest, highest, count uint64 }

// parseLoginDefs reads SUB_UID_MIN, _MAX, _COUNT and SUB_GID_..., and returns
// the bounds that satisfy both.
func parseLoginDefs(text string) bounds {
	b := bounds{100000, 600100000, defaultCount} // shadow's own defaults
	seen := map[string]uint64{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 2 {
			if n, err := strconv.ParseUint(f[1], 0, 32); err == nil {
				seen[f[0]] = n
			}
		}
	}
	get := func(key string, def uint64) uint64 {
		if n, ok := seen[key]; ok {
			return n
		}
		return def
	}
	return bounds{
		lowest:  max(get("SUB_UID_MIN", b.lowest), get("SUB_GID_MIN", b.lowest)),
		highest: min(get("SUB_UID_MAX", b.highest), get("SUB_GID_MAX", b.highest), math.MaxUint32-1),
		count:   max(get("SUB_UID_COUNT", b.count), get("SUB_GID_COUNT", b.count), 1),
	}
}

// firstGap returns the first b.count ids within b that taken leaves free.
func firstGap(b bounds, taken []Range) (Range, bool) {
	taken = slices.SortedFunc(slices.Values(taken), func(x, y Range) int { return cmp.Compare(x.Start, y.Start) })
	at := b.lowest
	for _, r := range taken {
		if r.end() <= at {
			continue
		}
		if uint64(r.Start) >= at+b.count {
			break
		}
		at = r.end()
	}
	if at+b.count-1 > b.highest {
		return Range{}, false
	}
	return Range{uint32(at), uint32(b.count)}, true
}

// nestedRange is the largest free range above the user's own ids and the
// system's (below 1000) in a namespace that maps few ids.
func nestedRange(id Identity, m Map, taken []Range) (Range, bool) {
	var best Range
	low := max(uint64(id.UID)+1, uint64(id.GID)+1, 1000)
	for _, e := range m.UIDs {
		top := Range{e.Inside, e.Size}.end()
		at := max(low, uint64(e.Inside))
		for _, r := range taken {
			if r.end() > at && uint64(r.Start) < top {
				at = r.end()
			}
		}
		if at < top && top-at > uint64(best.Count) {
			best = Range{uint32(at), uint32(min(top-at, defaultCount))}
		}
	}
	return best, best.Count > 0 && covers(m.GIDs, best)
}
