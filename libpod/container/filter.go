package container

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/oci/seccomp"
	"github.com/nook-containers/nook/userns"
)

// Filter is a container's system call filter in the making. It depends on the
// request alone, and takes a millisecond that the store needs too: StartFilter
// makes it on another processor meanwhile.
type Filter struct{ done <-chan filterResult }

type filterResult struct {
	filter
	err error
}

type filter struct {
	spec    *specs.LinuxSeccomp // nil: no filter
	program *seccomp.Filter
}

// StartFilter begins to make c's filter.
func StartFilter(c spec.Container) Filter {
	done := make(chan filterResult, 1)
	go func() {
		f, err := makeFilter(c)
		done <- filterResult{f, err}
	}()
	return Filter{done}
}

func (f Filter) wait(c spec.Container) (filter, error) {
	if f.done == nil {
		return makeFilter(c)
	}
	r := <-f.done
	return r.filter, r.err
}

func makeFilter(c spec.Container) (f filter, err error) {
	if c.Security.Seccomp == spec.SeccompUnconfined || c.Privileged && c.Security.Seccomp == "" {
		return filter{}, nil
	}
	caps, _, err := ocispec.Capabilities(ocispec.CapAdd(c), c.CapDrop)
	if err != nil {
		return filter{}, err
	}
	switch c.Security.Seccomp {
	case "":
		f.spec, err = seccomp.Default(caps)
	case spec.SeccompNested:
		f.spec, err = seccomp.Nested(caps)
	default:
		f.spec, err = seccomp.Parse([]byte(c.Security.Seccomp), caps)
	}
	if err != nil {
		return filter{}, err
	}
	if err := fakeOwners(c, f.spec); err != nil {
		return filter{}, err
	}
	f.program, err = seccomp.Compile(f.spec)
	return f, err
}

// fakeOwners lets chown(2) succeed where only one id exists and every other would
// be an error: package managers and unpackers of all kinds insist. A profile of the
// user's own says what it says.
func fakeOwners(c spec.Container, s *specs.LinuxSeccomp) error {
	if t := c.Security.Seccomp; t != "" && t != spec.SeccompNested {
		return nil
	}
	shared, err := userns.Current()
	if err != nil || !shared.Single() {
		return err
	}
	seccomp.FakeOwners(s)
	return nil
}
