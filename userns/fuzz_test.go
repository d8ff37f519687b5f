package userns

import (
	"math"
	"testing"
)

// FuzzHostFiles reads any bytes as the files that decide about sub-ids, and plans
// with them. A free range is nobody's, and a plan is one that the kernel takes.
func FuzzHostFiles(f *testing.F) {
	f.Add("alice:100000:65536\nbob:165536:65536\n", "alice:x:1000:1000::/:/bin/sh\n", "SUB_UID_MIN 100000\nSUB_UID_COUNT 0x10000\n", "0 0 4294967295\n")
	f.Add("1000:4294967290:99999999999\n1000:0:0\n", "+::::::\n:x:1:1:::\n", "SUB_UID_MAX -1\nSUB_GID_COUNT 4294967295\nSUB_UID_MIN 4294967295", "0 1000 1\n1 100000 65536\n")
	f.Fuzz(func(t *testing.T, subids, passwd, defs, mapping string) {
		var taken []Range
		for _, e := range parseSubIDFile(subids) {
			taken = append(taken, e.Range)
		}
		if r, ok := firstGap(parseLoginDefs(defs), taken); ok {
			for _, o := range taken {
				if o.Count > 0 && r.overlaps(o) {
					t.Errorf("%v is free, and %v taken", r, o)
				}
			}
			if r.Count == 0 || r.end() > math.MaxUint32 {
				t.Errorf("free range %v by %q", r, defs)
			}
		}
		id := Identity{UID: 1000, GID: 1000, User: loginName(passwd, 1000, "env")}
		for _, e := range ownIDs(passwd) {
			if e.owner == "" || e.Count != 1 {
				t.Errorf("%+v of %q", e, passwd)
			}
		}
		r := parseSubIDs(subids, "1000", "alice")
		if m, err := PlanMap(id, SubIDs{UIDs: r, GIDs: r}); err == nil && (!m.HasUID(0) || len(formatMap(m.UIDs)) > maxMapBytes) {
			t.Errorf("plan %v", m)
		}
		if m, err := parseMap(mapping); err == nil {
			_ = covers(m, Range{0, 65536})
			_ = contains(m, 1)
		}
	})
}
