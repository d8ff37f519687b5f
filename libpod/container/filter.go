package container

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/oci/seccomp"
	"github.com/nook-containers/nook/userns"
)

// Filter is a container's system call filter in the making. It depends on the
// request alone, and where it was not made ahead takes a millisecond that the store
// needs too: StartFilter makes it on another processor meanwhile.
type Filter struct{ done <-chan filterResult }

type filterResult struct {
	filter
	err error
}

type filter struct {
	program *seccomp.Filter     // nil: no filter
	spec    *specs.LinuxSeccomp // the same; nil as well where only our own runtime needs it, and it was made ahead
}

// StartFilter begins to make the filter of c, which runtime will run; empty: our own.
func StartFilter(c spec.Container, runtime string) Filter {
	done := make(chan filterResult, 1)
	go func() {
		f, err := makeFilter(c, runtime)
		done <- filterResult{f, err}
	}()
	return Filter{done}
}

func (f Filter) wait(c spec.Container, runtime string) (filter, error) {
	if f.done == nil {
		return makeFilter(c, runtime)
	}
	r := <-f.done
	return r.filter, r.err
}

func makeFilter(c spec.Container, runtime string) (f filter, err error) {
	if c.Security.Seccomp == spec.SeccompUnconfined || c.Privileged && c.Security.Seccomp == "" {
		return filter{}, nil
	}
	caps, _, err := ocispec.Capabilities(ocispec.CapAdd(c), c.CapDrop)
	if err != nil {
		return filter{}, err
	}
	fake, err := fakesOwners(c)
	if err != nil {
		return filter{}, err
	}
	switch c.Security.Seccomp {
	case "":
		if f.program = seccomp.Ahead(caps); f.program != nil && runtime == "" && !fake {
			return f, nil
		}
		f.spec, err = seccomp.Default(caps)
	case spec.SeccompNested:
		f.spec, err = seccomp.Nested(caps)
	default:
		f.spec, err = seccomp.Parse([]byte(c.Security.Seccomp), caps)
	}
	if err != nil {
		return filter{}, err
	}
	if fake {
		seccomp.FakeOwners(f.spec)
	}
	f.program, err = seccomp.Compile(f.spec)
	return f, err
}

// fakesOwners reports whether chown(2) is to succeed since only one id exists and
// every other would be an error: package managers and unpackers of all kinds insist. A
// profile of the user's own says what it says.
func fakesOwners(c spec.Container) (bool, error) {
	if t := c.Security.Seccomp; t != "" && t != spec.SeccompNested {
		return false, nil
	}
	shared, err := userns.Current()
	return err == nil && shared.Single(), err
}
