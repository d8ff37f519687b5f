package netd

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/nook-containers/nook/pkg/problem"
)

func TestExplainTAP(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.ENOENT: "run: sudo modprobe tun; or add: --network none, or --network host",
		syscall.ENODEV: "run: sudo modprobe tun; or add: --network none, or --network host",
		syscall.EACCES: "run: sudo chmod 0666 /dev/net/tun; or add: --network none, or --network host",
		syscall.EIO:    "",
	} {
		err := explainTAP(fmt.Errorf("open /dev/net/tun: %w", errno))
		if got := problem.HintOf(err); got != want || !strings.Contains(err.Error(), "/dev/net/tun") {
			t.Errorf("%v: hint %q, want %q", err, got, want)
		}
	}
	if explainTAP(nil) != nil {
		t.Error("an error out of nothing")
	}
}
