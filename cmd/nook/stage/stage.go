// Package stage takes the process over before the rest of the program is
// initialised, when argv[0] names a stage of a container's life. It imports the
// standard library, the kernel and the stages only; a test holds it to that.
//
// Packages are initialised when all that they import is; of several in the order
// of their names. So it is what comes last of all imports that says how much of the
// program each stage waits for: net/netip, by way of unique and weak, would make it
// four fifths.
package stage

import (
	"os"
	"runtime"

	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/oci/stage"
)

func init() { //nolint:gochecknoinits // being early is this package's purpose
	if len(os.Args) == 0 {
		return
	}
	switch os.Args[0] {
	case plan.InitName:
		runtime.LockOSThread()
		stage.Run()
	case plan.EnterName:
		runtime.LockOSThread()
		stage.Enter()
	case plan.ReaperName:
		stage.Reap()
	case monitor.Name:
		monitor.Stage()
	}
}
