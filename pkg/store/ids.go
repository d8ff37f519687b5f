package store

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nook-containers/nook/pkg/archive"
	"github.com/nook-containers/nook/pkg/problem"
)

// idRanges reads the ids that exist in this user namespace (user_namespaces(7)).
func idRanges(path string) ([]archive.IDRange, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []archive.IDRange
	for line := range strings.Lines(string(data)) {
		var r archive.IDRange
		var outside uint32
		if _, err := fmt.Sscan(line, &r.First, &outside, &r.Count); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", path, line, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// idHint adds what makes a missing id exist.
func (s *Store) idHint(err error) error {
	missing, ok := errors.AsType[*archive.UnmappedIDError](err)
	if !ok {
		return err
	}
	const leave = "leave owners out: nook --storage-opt ignore_chown_errors=true …"
	if s.o.MoreIDs == nil {
		return problem.Hint(err, leave)
	}
	more, merr := s.o.MoreIDs(missing.ID)
	if merr != nil || more == "" {
		return problem.Hint(err, leave)
	}
	return problem.Hint(err, "run: %s; or %s", more, leave)
}
