package network

import (
	"fmt"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/problem"
)

// DefaultMode is the --network of a container that asked for none.
const DefaultMode = spec.NetworkNone

// CheckMode refuses what containers can be made with but not started: the one
// place that says so.
func CheckMode(c spec.Container) error {
	switch mode, _ := c.NetworkMode(); mode {
	case spec.NetworkNone, spec.NetworkHost:
		return nil
	default:
		what := c.Network
		if len(c.Networks) > 0 {
			what = c.Networks[0].Name
		}
		return problem.Hint(fmt.Errorf("network %q: containers cannot be started in it yet; want none or host", what), "add: --network host")
	}
}
