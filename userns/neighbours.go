package userns

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/pkg/problem"
)

// A Clash is a subordinate range of the user's that another user has ids of too.
type Clash struct {
	Kind  string // "uid" or "gid"
	Range Range  // the user's
	Owner string // the other, as /etc/subuid or /etc/passwd names them
	Other Range  // the other's; a single id is a user's or group's own
}

// Error names both.
func (c Clash) Error() string {
	what := fmt.Sprintf("%d:%d of %s", c.Other.Start, c.Other.Count, c.Owner)
	if c.Other.Count == 1 {
		what = fmt.Sprintf("the %s %d of %s", c.Kind, c.Other.Start, c.Owner)
	}
	return fmt.Sprintf("subordinate %s range %d:%d holds ids of others: %s", c.Kind, c.Range.Start, c.Range.Count, what)
}

// clashes compares the user's ranges with those of everybody else and with the ids
// of passwd(5) and group(5).
func (h Host) clashes(id Identity, s SubIDs) ([]Clash, error) {
	var all []Clash
	for _, k := range []kind{uids, gids} {
		subs, err := h.read(k.file())
		if err != nil {
			return nil, err
		}
		names, err := h.read(map[kind]string{uids: "/etc/passwd", gids: "/etc/group"}[k])
		if err != nil {
			return nil, err
		}
		mine := s.UIDs
		if k == gids {
			mine = s.GIDs
		}
		others := append(parseSubIDFile(subs), ownIDs(names)...)
		for _, r := range mine {
			for _, o := range others {
				if !id.is(o.owner) && o.Count > 0 && r.overlaps(o.Range) {
					all = append(all, Clash{string(k), r, o.owner, o.Range})
				}
			}
		}
	}
	return slices.Compact(all), nil
}

// is reports whether owner, of subuid(5), means id.
func (id Identity) is(owner string) bool {
	return owner != "" && owner == id.User || owner == strconv.FormatUint(uint64(id.UID), 10)
}

// ownIDs are the entries of passwd(5) or group(5), as ranges of one.
func ownIDs(text string) []subIDEntry {
	var all []subIDEntry
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || f[0] == "" || f[0][0] == '+' || f[0][0] == '-' { // those are of NIS
			continue
		}
		if n, err := strconv.ParseUint(f[2], 10, 32); err == nil {
			all = append(all, subIDEntry{f[0], Range{uint32(n), 1}})
		}
	}
	return all
}

// explain adds the command that gives the user a range of their own, where one is
// free.
func (c Clash) explain(f Facts) error {
	if f.Free.Count == 0 || !f.Local {
		return problem.Hint(c, "give each user ranges of their own in /etc/sub%s", c.Kind)
	}
	return problem.Run(c, fmt.Sprintf("sudo usermod --del-sub%ss %d-%d --add-sub%ss %d-%d %s",
		c.Kind, c.Range.Start, c.Range.end()-1, c.Kind, f.Free.Start, f.Free.end()-1, f.name()))
}
