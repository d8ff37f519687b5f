package container

import (
	"strings"
	"testing"

	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/userns"
)

// FuzzIDMaps plans what any words of --uidmap and --gidmap ask for. A plan gives an id
// of the user to one id of the container, and no id that the user does not have.
func FuzzIDMaps(f *testing.F) {
	f.Add("0:1:1000 +5:@100000:1", "")
	f.Add("+u1000:0:1 g0:0:65537 0:1:10", "+0:@1000")
	f.Add("4294967294:0:1 0:4294967294:4294967294", "gu+0:@0:1")
	const ids = 65537
	cur := []userns.Extent{{Inside: 0, Outside: 1000, Size: 1}, {Inside: 1, Outside: 100000, Size: ids - 1}}
	f.Fuzz(func(t *testing.T, uidmap, gidmap string) {
		uids, gids, err := syntax.IDMaps(strings.Fields(uidmap), strings.Fields(gidmap))
		if err != nil {
			return
		}
		m, err := userns.Custom(userns.Map{UIDs: cur, GIDs: cur}, mappings(uids), mappings(gids))
		if err != nil {
			return
		}
		for _, list := range [][]userns.Extent{m.UIDs, m.GIDs} {
			root := false
			for i, a := range list {
				root = root || a.Inside == 0
				if a.Size == 0 || uint64(a.Outside)+uint64(a.Size) > ids || uint64(a.Inside)+uint64(a.Size) > 1<<32 {
					t.Errorf("%q %q: %+v", uidmap, gidmap, a)
				}
				for _, b := range list[:i] {
					if meet(a.Inside, b.Inside, a.Size, b.Size) || meet(a.Outside, b.Outside, a.Size, b.Size) {
						t.Errorf("%q %q: %+v and %+v", uidmap, gidmap, a, b)
					}
				}
			}
			if !root {
				t.Errorf("%q %q: nobody is root in %+v", uidmap, gidmap, list)
			}
		}
	})
}

// meet reports whether n ids from a upward and m ids from b upward have one in common.
func meet(a, b, n, m uint32) bool {
	return uint64(a) < uint64(b)+uint64(m) && uint64(b) < uint64(a)+uint64(n)
}
