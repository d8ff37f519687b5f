package network

import "github.com/nook-containers/nook/libpod/spec"

// DefaultMode is the --network of a container that asked for none.
const DefaultMode = spec.NetworkBridge
