package container

import (
	"runtime"
	"strings"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/oci"
	"github.com/nook-containers/nook/pkg/oci/seed"
)

// SeedFlags are the CLONE_NEW* flags of the namespaces that the init of c is born in; 0
// where it can exist only after other namespaces are there to join.
func SeedFlags(c spec.Container) uintptr {
	if c.UserNS.From != "" || c.UserNS.Mode == spec.UserNSPath || strings.HasPrefix(c.PID, spec.NSContainer) {
		return 0
	}
	flags, err := oci.CloneFlags(ocispec.Namespaces(c))
	if err != nil {
		return 0
	}
	return flags
}

// SeedGroup is the name of the control group that the init of c is born in where a part
// of the tree is ours and nothing is asked for; empty: that is to be found out first.
func SeedGroup(c spec.Container, id string) string {
	if c.Cgroups != spec.CgroupsDefault || c.CgroupParent != "" || c.Pod != "" {
		return ""
	}
	return groupPrefix + id
}

// Sow starts the init of a container that c asks for, so that it boots while the
// store is opened, or takes early, which may be nil, if that is one. The goroutine
// keeps its thread, and must be the one that runs the container
// (oci.Config.KillWithParent). Where it can't be started it is nil: the reason comes
// up again when it is needed. It is born in the group of p where that is there
// already: to move early would cost more than another init does (8 ms against 2, Linux
// 6.18: the kernel waits for a grace period of RCU before it moves a process).
func Sow(c spec.Container, p *Placement, early *seed.Seed) *seed.Seed {
	flags := SeedFlags(c)
	if flags != 0 && early.Fits(flags, nil, p.File()) {
		return early
	}
	_ = early.Close() // one that was begun in vain
	if flags == 0 {
		return nil
	}
	runtime.LockOSThread()
	s, err := seed.Sow(flags, nil, p.File())
	if err != nil {
		return nil
	}
	return s
}
