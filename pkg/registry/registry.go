// Package registry speaks the OCI distribution protocol.
package registry

import (
	_ "github.com/BurntSushi/toml"
	_ "github.com/google/go-containerregistry/pkg/v1/remote"
)
