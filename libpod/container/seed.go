package container

import (
	"runtime"
	"strings"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/oci"
)

// Sow starts the init of a container that c asks for, so that it boots while the
// store is opened. The goroutine keeps its thread, and must be the one that runs
// the container (oci.Config.KillWithParent). Where it can't be started it is nil:
// the reason comes up again when it is needed. It is nil, too, where init can exist
// only after other namespaces are there to join. It is born in the group of p where
// that is there already.
func Sow(c spec.Container, p *Placement) *oci.Seed {
	if c.UserNS.From != "" || c.UserNS.Mode == spec.UserNSPath || strings.HasPrefix(c.PID, spec.NSContainer) {
		return nil
	}
	runtime.LockOSThread()
	s, err := oci.Sow(ocispec.Namespaces(c), p.File())
	if err != nil {
		return nil
	}
	return s
}
