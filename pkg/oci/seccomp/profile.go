package seccomp

import (
	"fmt"

	mobyseccomp "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Parse reads a profile in the format that Docker and podman share (a superset
// of runtime-spec's linux.seccomp: includes and excludes by capability,
// architecture and kernel), for a container whose bounding set is caps.
func Parse(profile []byte, caps []string) (*specs.LinuxSeccomp, error) {
	s, err := mobyseccomp.LoadProfile(string(profile), &specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}},
	})
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	return s, nil
}
