package stage

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// settled is when a process that only waits has done what it does once, and
// shrinks.
const settled = 200 * time.Millisecond

// pause keeps the namespaces that this process is in until a signal ends it. As
// pid 1 it collects the processes that lose their parent. It does not return.
func pause(sock int) {
	end, children := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	signal.Notify(children, syscall.SIGCHLD)
	kern.Close(sock) // from here on it counts as started
	shrink := time.After(settled)
	for {
		select {
		case <-end:
			os.Exit(0) //nolint:forbidigo // the process is this stage
		case <-children:
			for kern.Collect() {
			}
		case <-shrink:
			sys.DropProgramPages()
		}
	}
}
