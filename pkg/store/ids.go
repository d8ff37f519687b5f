package store

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

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
	const leave = "leave such owners out: nook --storage-opt ignore_chown_errors=true …"
	if s.o.MoreIDs == nil {
		return problem.Hint(err, leave)
	}
	more, merr := s.o.MoreIDs(missing.ID)
	if merr != nil || more == "" {
		return problem.Hint(err, leave)
	}
	return problem.Hint(err, "run: %s; or %s", more, leave)
}

// missingIDs are owners in the layers of one image that do not exist in this user
// namespace. Their files are 0's on disk. What the layer says of them is kept with
// its tar-split, so that it leaves the store as it came.
type missingIDs struct {
	mu      sync.Mutex // layers are unpacked at once
	files   int
	largest uint32
}

func (m *missingIDs) add(l archive.Layer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files += l.Squashed
	m.largest = max(m.largest, l.Missing)
}

func (m *missingIDs) tell(s *Store) {
	if m.files == 0 || s.o.Notice == nil {
		return
	}
	text := fmt.Sprintf("%d owners of files in the image are ids that you do not have (up to %d): the files are root's here, and whole again when the image is saved or pushed", m.files, m.largest)
	if s.o.MoreIDs != nil {
		if more, err := s.o.MoreIDs(m.largest); err == nil && more != "" {
			text += "; to have such ids run: " + more + ", and get the image again"
		}
	}
	s.o.Notice(text)
}
