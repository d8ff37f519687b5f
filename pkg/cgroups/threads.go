package cgroups

import (
	"path/filepath"
	"strconv"
)

const pidsMax = "pids.max"

// HasRoom reports whether n more threads may be in the group dir: born there, that is,
// since the limits of the group and of those above it refuse a fork, not a move (kernel
// doc, "PID"). Where a file is missing there is no limit.
func HasRoom(dir string, n uint64) (bool, error) {
	for {
		limit, ok, err := optional(dir, pidsMax)
		if err != nil || !ok {
			return err == nil, err
		}
		if most := number(limit); limit != "max\n" {
			now, _, err := optional(dir, "pids.current")
			if err != nil || number(now)+n > most {
				return false, err
			}
		}
		dir = filepath.Dir(dir)
	}
}

// HoldBack takes the writes out of a list that leave a group less room than for n
// threads.
func HoldBack(writes []Write, n uint64) (now, later []Write) {
	for _, w := range writes {
		most, err := strconv.ParseUint(w.Value, 10, 64)
		if w.File == pidsMax && err == nil && most < n {
			later = append(later, w)
		} else {
			now = append(now, w)
		}
	}
	return now, later
}
