package cgroups

import (
	"strings"
	"testing"
)

// FuzzLocate reads any bytes as mountinfo and /proc/self/cgroup: what is found is
// below the mount.
func FuzzLocate(f *testing.F) {
	f.Add(unifiedMount, "0::/user.slice/a\n", "usage_usec 5\nx\n")
	f.Add(hybridMounts, "0::/../x (deleted)\n1:cpu:/\n", "8:0 rbytes=1 wbytes=2\n")
	f.Fuzz(func(t *testing.T, mounts, own, stat string) {
		h := locate(mounts, own)
		if h.Own != "" && h.Mount != "" && h.Own != h.Mount && !strings.HasPrefix(h.Own, strings.TrimSuffix(h.Mount, "/")+"/") {
			t.Errorf("%q and %q: %q is not in %q", mounts, own, h.Own, h.Mount)
		}
		_ = flat(stat)
		_, _ = ioTotals(stat)
		_ = number(stat)
	})
}
