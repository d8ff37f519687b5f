// Package oci runs OCI bundles: our own runtime.
package oci

import (
	_ "github.com/moby/profiles/seccomp"
	_ "github.com/moby/sys/user"
	_ "github.com/opencontainers/runtime-spec/specs-go"
)
