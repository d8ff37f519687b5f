package sys_test

import (
	"syscall"
	"testing"

	"github.com/nook-containers/nook/pkg/sys"
)

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]syscall.Signal{
		"15": 15, "TERM": 15, "sigterm": 15, "SIGKILL": 9, "RTMIN": 34, "SIGRTMIN+3": 37, "rtmax-1": 63, "64": 64, "WINCH": 28,
	} {
		if got, err := sys.ParseSignal(in); err != nil || got != want {
			t.Errorf("ParseSignal(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "65", "-1", "NOPE", "SIG", "RTMIN-1", "RTMIN+31", "RTMAX+1", "RTMIN+x"} {
		if got, err := sys.ParseSignal(in); err == nil {
			t.Errorf("ParseSignal(%q) = %d, want an error", in, got)
		}
	}
}
