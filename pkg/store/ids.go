package store

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/problem"
)

// mapLine is one line of /proc/PID/uid_map (user_namespaces(7)).
type mapLine struct{ inside, outside, count uint32 }

func readMap(path string) ([]mapLine, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lines []mapLine
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("%s: cannot read %q", path, line)
		}
		var n [3]uint32
		for i, s := range f {
			v, err := strconv.ParseUint(s, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			n[i] = uint32(v)
		}
		lines = append(lines, mapLine{n[0], n[1], n[2]})
	}
	return lines, nil
}

// idRanges returns the ids that exist in this user namespace.
func idRanges(path string) ([]archive.IDRange, error) {
	lines, err := readMap(path)
	if err != nil {
		return nil, err
	}
	out := make([]archive.IDRange, 0, len(lines))
	for _, l := range lines {
		out = append(out, archive.IDRange{First: l.inside, Count: l.count})
	}
	return out, nil
}

// idHint adds the command that makes a missing id exist.
func idHint(err error) error {
	missing, ok := errors.AsType[*archive.UnmappedIDError](err)
	if !ok {
		return err
	}
	lines, rerr := readMap("/proc/self/uid_map")
	if rerr != nil || len(lines) == 0 {
		return err
	}
	first, last := moreIDs(lines, missing.ID)
	user := userName(lines[0].outside)
	return problem.Hint(err, "run: sudo usermod --add-subuids %d-%d --add-subgids %d-%d %s; or leave owners out: nook --storage-opt ignore_chown_errors=true …",
		first, last, first, last, user)
}

// moreIDs plans a range of host ids that, added to the map, reaches the id want:
// it begins after those in use and has whole 65536s, as adduser(8) gives them.
func moreIDs(lines []mapLine, want uint32) (first, last uint64) {
	inside, outside := uint64(0), uint64(0)
	for _, l := range lines {
		inside = max(inside, uint64(l.inside)+uint64(l.count))
		outside = max(outside, uint64(l.outside)+uint64(l.count))
	}
	const unit = 65536
	n := (uint64(want) - min(uint64(want), inside) + 1 + unit - 1) / unit * unit
	return outside, outside + n - 1
}

// userName returns the name of a user of the host, else its number.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	data, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return id
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.SplitN(line, ":", 4); len(f) == 4 && f[2] == id {
			return f[0]
		}
	}
	return id
}
