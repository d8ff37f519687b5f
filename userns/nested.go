package userns

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Current reads the map of this process's user namespace. Outside is as seen
// from the parent namespace.
func Current() (Map, error) { return Host{}.currentMap() }

func (h Host) currentMap() (m Map, err error) {
	if m.UIDs, err = h.readMap("/proc/self/uid_map"); err != nil {
		return Map{}, err
	}
	m.GIDs, err = h.readMap("/proc/self/gid_map")
	return m, err
}

func (h Host) readMap(path string) ([]Extent, error) {
	data, err := os.ReadFile(h.path(path))
	if err != nil {
		return nil, err
	}
	m, err := parseMap(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func parseMap(text string) ([]Extent, error) {
	var m []Extent
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("line %q: want three numbers", line)
		}
		var v [3]uint32
		for i := range v {
			n, err := strconv.ParseUint(f[i], 10, 32)
			if err != nil {
				return nil, fmt.Errorf("line %q: %w", line, err)
			}
			v[i] = uint32(n)
		}
		m = append(m, Extent{v[0], v[1], v[2]})
	}
	return m, nil
}

// ErrNotMapped means that cur, the map to plan in, lacks id 0, the user.
var ErrNotMapped = errors.New("the user's own id is not mapped")

// KeepID plans the map of a container's own user namespace for
// --userns=keep-id: inside it the user, who is id 0 of the shared namespace, has
// the ids uid and gid (by default the ones they have on the host), and all other
// ids from 0 upward are the subordinate ones in order. cur is the map of the
// shared namespace; Outside in the result are ids of that one. limit is the
// largest number of subordinate ids to use, 0 for all (podman-run(1),
// --userns=keep-id:size=).
func KeepID(cur Map, uid, gid, limit uint32) (Map, error) {
	u, err := keep(cur.UIDs, uid, limit)
	if err != nil {
		return Map{}, fmt.Errorf("keep-id: uid %d: %w", uid, err)
	}
	g, err := keep(cur.GIDs, gid, limit)
	if err != nil {
		return Map{}, fmt.Errorf("keep-id: gid %d: %w", gid, err)
	}
	return Map{UIDs: u, GIDs: g}, nil
}

// NoMap plans the map of a container's own user namespace for --userns=nomap:
// the subordinate ids in order from 0 upward, without the user's own.
func NoMap(cur Map) (Map, error) {
	m := Map{UIDs: others(cur.UIDs), GIDs: others(cur.GIDs)}
	if len(m.UIDs) == 0 || len(m.GIDs) == 0 {
		return Map{}, errors.New("nomap: no subordinate ids are mapped, so no id would be left")
	}
	m.UIDs, m.GIDs = pack(m.UIDs, 0), pack(m.GIDs, 0)
	return m, nil
}

func keep(cur []Extent, id, limit uint32) ([]Extent, error) {
	if id == math.MaxUint32 {
		return nil, errors.New("out of range")
	}
	if !contains(cur, 0) {
		return nil, ErrNotMapped
	}
	pool := others(cur)
	if limit > 0 {
		pool, _ = split(pool, limit)
	}
	below, above := split(pool, id)
	m := append(pack(below, 0), Extent{Inside: id, Outside: 0, Size: 1})
	return append(m, pack(above, id+1)...), nil
}

// others lists the ids that are mapped in cur, except 0, as extents whose
// Outside counts in cur's own (inside) ids. Inside is for the caller to set.
func others(cur []Extent) []Extent {
	var pool []Extent
	for _, e := range cur {
		if e.Inside == 0 {
			e.Inside, e.Size = 1, e.Size-1
		}
		if e.Size > 0 {
			pool = append(pool, Extent{Outside: e.Inside, Size: e.Size})
		}
	}
	return pool
}

// split cuts pool after n ids.
func split(pool []Extent, n uint32) (head, tail []Extent) {
	for _, e := range pool {
		take := min(e.Size, n)
		if take > 0 {
			head = append(head, Extent{Outside: e.Outside, Size: take})
		}
		if take < e.Size {
			tail = append(tail, Extent{Outside: e.Outside + take, Size: e.Size - take})
		}
		n -= take
	}
	return head, tail
}

// pack numbers the insides of m without gaps, from first upward, and cuts what
// would pass the last possible id.
func pack(m []Extent, first uint32) []Extent {
	next := uint64(first)
	for i := range m {
		m[i].Inside = uint32(next)
		m[i].Size = uint32(min(uint64(m[i].Size), math.MaxUint32-next))
		next += uint64(m[i].Size)
	}
	return slices.DeleteFunc(m, func(e Extent) bool { return e.Size == 0 })
}

// CanSetGroups reports whether processes of this user namespace may choose their
// supplementary groups. They may not where it was made without a range of group
// ids (user_namespaces(7), /proc/PID/setgroups): whoever is in it keeps the groups
// that it has.
func CanSetGroups() bool {
	data, err := os.ReadFile("/proc/self/setgroups")
	return err != nil || strings.TrimSpace(string(data)) != "deny"
}
