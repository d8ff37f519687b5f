package netd

import (
	"runtime"
	"testing"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

// TestHurry wants more than one processor to be used while there is work for them,
// and one when all is calm.
func TestHurry(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s := &server{settle: time.NewTimer(time.Hour), rester: sys.NewRester()}
	defer s.rester.End()
	for range 2 {
		s.hurry()
		s.hurry()
		if got, want := runtime.GOMAXPROCS(0), min(processors, runtime.NumCPU()); got != want {
			t.Errorf("%d processors with much to do, want %d", got, want)
		}
		s.calm()
		if got := runtime.GOMAXPROCS(0); got != 1 {
			t.Errorf("%d processors when calm, want 1", got)
		}
	}
}
