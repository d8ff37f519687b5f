// Package systest decides which tests this host can run.
package systest

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/nook-containers/nook/pkg/sys"
)

// SkipUnless skips tb where f is missing, and fails it where the kernel is new
// enough that f should have been there: a probe that always says no must not
// turn the test off for good.
func SkipUnless(tb testing.TB, f *sys.Feature) {
	tb.Helper()
	err := f.Check()
	if err == nil {
		return
	}
	if !errors.Is(err, sys.ErrUnsupported) {
		tb.Fatal(err)
	}
	release, rerr := os.ReadFile("/proc/sys/kernel/osrelease")
	if rerr != nil {
		tb.Fatal(rerr)
	}
	if slices.Compare(version(tb, string(release)), version(tb, f.Since)) >= 0 {
		tb.Fatalf("%v, yet this kernel is not older than %s: the probe is wrong", err, f.Since)
	}
	tb.Skip(err)
}

// version returns major and minor of a release such as "6.8.0-45-generic".
func version(tb testing.TB, release string) []int {
	tb.Helper()
	v := make([]int, 2)
	if _, err := fmt.Sscanf(release, "%d.%d", &v[0], &v[1]); err != nil {
		tb.Fatalf("kernel release %q: %v", release, err)
	}
	return v
}
