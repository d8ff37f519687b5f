package network

import (
	"fmt"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/problem"
)

// DefaultMode is the --network of a container that asked for none.
const DefaultMode = spec.NetworkBridge

// CheckMode refuses what containers can be made with but not started: the one
// place that says so.
func CheckMode(c spec.Container) error {
	switch mode, _ := c.NetworkMode(); mode {
	case spec.NetworkPasta, spec.NetworkSlirp:
		return problem.Hint(fmt.Errorf("network %q: containers cannot be started in it yet", c.Network), "leave --network out")
	}
	return nil
}
