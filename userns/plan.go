package userns

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nook-containers/nook/pkg/problem"
)

// An Extent maps Size ids from Inside upward to Outside upward
// (user_namespaces(7), "Defining user and group ID mappings").
type Extent struct{ Inside, Outside, Size uint32 }

// A Map holds the extents of a user namespace, in the order of its map files.
type Map struct{ UIDs, GIDs []Extent }

// A Range is Count subordinate ids from Start upward.
type Range struct{ Start, Count uint32 }

func (r Range) end() uint64        { return uint64(r.Start) + uint64(r.Count) } // first id after r
func (r Range) has(id uint32) bool { return id >= r.Start && uint64(id) < r.end() }
func (r Range) overlaps(o Range) bool {
	return uint64(r.Start) < o.end() && uint64(o.Start) < r.end()
}

// Kinds of ids.
const (
	uids kind = "uid"
	gids kind = "gid"
)

type kind string

func (k kind) file() string { return "/etc/sub" + string(k) }

// Errors of PlanMap; all come with a hint.
var (
	ErrOwnID          = errors.New("a subordinate range contains the user's own id")
	ErrOverlap        = errors.New("subordinate ranges overlap")
	ErrEmptyRange     = errors.New("a subordinate range is empty")
	ErrTooManyExtents = errors.New("too many subordinate ranges")
	ErrOneSided       = errors.New("subordinate uids and gids must come together")
)

// Limits of the kernel on one map (user_namespaces(7)): lines, and bytes, since
// it takes a map in one write(2) that must be shorter than a page.
const (
	maxExtents  = 340
	maxMapBytes = 4095
)

// An Identity is who the map is for.
type Identity struct {
	UID, GID uint32
	User     string // login name; "" where unknown
	Local    bool   // in /etc/passwd
}

func (id Identity) name() string {
	if id.User == "" {
		return fmt.Sprint(id.UID)
	}
	return id.User
}

// PlanMap maps id 0 to the user and the ids from 1 upward to the ranges, in
// order. Without any range the map has the user's own ids only.
func PlanMap(id Identity, s SubIDs) (Map, error) {
	if (len(s.UIDs) == 0) != (len(s.GIDs) == 0) {
		return Map{}, oneSided(id, s)
	}
	u, err := planOne(uids, id, id.UID, s.UIDs)
	if err != nil {
		return Map{}, err
	}
	g, err := planOne(gids, id, id.GID, s.GIDs)
	if err != nil {
		return Map{}, err
	}
	return Map{UIDs: u, GIDs: g}, nil
}

func oneSided(id Identity, s SubIDs) error {
	have, miss, r := uids, gids, s.UIDs
	if len(r) == 0 {
		have, miss, r = gids, uids, s.GIDs
	}
	return problem.Run(fmt.Errorf("%w: %s has sub%ss but no sub%ss", ErrOneSided, id.name(), have, miss),
		fmt.Sprintf("sudo usermod --add-sub%ss %d-%d %s", miss, r[0].Start, r[0].end()-1, id.name()))
}

func planOne(k kind, id Identity, self uint32, ranges []Range) ([]Extent, error) {
	plan := []Extent{{Inside: 0, Outside: self, Size: 1}}
	next := uint64(1)
	for i, r := range ranges {
		if err := checkRange(k, id, self, ranges[:i+1]); err != nil {
			return nil, err
		}
		// The last id, 2^32-1, means "no id" to the kernel and cannot be mapped.
		if size := min(uint64(r.Count), 1<<32-1-next); size > 0 {
			plan = append(plan, Extent{Inside: uint32(next), Outside: r.Start, Size: uint32(size)})
			next += size
		}
	}
	if n := len(formatMap(plan)); len(plan) > maxExtents || n > maxMapBytes {
		return nil, problem.Hint(fmt.Errorf("%w: %s gives %s %d ranges; the kernel takes %d lines in %d bytes",
			ErrTooManyExtents, k.file(), id.name(), len(ranges), maxExtents, maxMapBytes),
			"join neighbouring ranges of %s in %s into one line", id.name(), k.file())
	}
	return plan, nil
}

// checkRange compares the last of ranges with the user's own id and the others.
func checkRange(k kind, id Identity, self uint32, ranges []Range) error {
	last := len(ranges) - 1
	r := ranges[last]
	del := func(err error) error {
		return problem.Run(fmt.Errorf("%s: %s:%d:%d: %w", k.file(), id.name(), r.Start, r.Count, err),
			fmt.Sprintf("sudo usermod --del-sub%ss %d-%d %s", k, r.Start, max(r.end(), uint64(r.Start)+1)-1, id.name()))
	}
	switch {
	case r.Count == 0:
		return problem.Run(fmt.Errorf("%s: %s:%d:0: %w", k.file(), id.name(), r.Start, ErrEmptyRange),
			fmt.Sprintf("sudo sed -i '/^%s:%d:0$/d' %s", id.name(), r.Start, k.file()))
	case r.has(self):
		return del(ErrOwnID)
	}
	if i := slices.IndexFunc(ranges[:last], r.overlaps); i >= 0 {
		o := ranges[i]
		return del(fmt.Errorf("%w: with %d:%d", ErrOverlap, o.Start, o.Count))
	}
	return nil
}

// formatMap is the text of a map file, one extent a line.
func formatMap(m []Extent) string {
	var b strings.Builder
	for _, e := range m {
		fmt.Fprintf(&b, "%d %d %d\n", e.Inside, e.Outside, e.Size)
	}
	return b.String()
}

// Single reports whether m maps one uid and one gid only.
func (m Map) Single() bool { return size(m.UIDs) <= 1 && size(m.GIDs) <= 1 }

// initial reports whether m is the identity of all ids, as in the namespace that
// the system booted with.
func (m Map) initial() bool {
	all := []Extent{{0, 0, 1<<32 - 1}}
	return slices.Equal(m.UIDs, all) && slices.Equal(m.GIDs, all)
}

// HasUID reports whether uid, as seen inside, is mapped.
func (m Map) HasUID(uid uint32) bool { return contains(m.UIDs, uid) }

// HasGID reports whether gid, as seen inside, is mapped.
func (m Map) HasGID(gid uint32) bool { return contains(m.GIDs, gid) }

// Size returns how many uids and gids are mapped.
func (m Map) Size() (uids, gids uint64) { return size(m.UIDs), size(m.GIDs) }

func size(m []Extent) (n uint64) {
	for _, e := range m {
		n += uint64(e.Size)
	}
	return n
}

func contains(m []Extent, id uint32) bool {
	return slices.ContainsFunc(m, func(e Extent) bool { return Range{e.Inside, e.Size}.has(id) })
}

// covers reports whether m maps the whole of r.
func covers(m []Extent, r Range) bool {
	at := uint64(r.Start)
	for at < r.end() {
		i := slices.IndexFunc(m, func(e Extent) bool { return Range{e.Inside, e.Size}.has(uint32(at)) })
		if i < 0 {
			return false
		}
		at = Range{m[i].Inside, m[i].Size}.end()
	}
	return true
}
