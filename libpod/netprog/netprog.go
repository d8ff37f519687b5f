// Package netprog gives a container a network by a program of the host: pasta(1) or
// slirp4netns(1), for who is used to them or to their options.
//
// # Theory of operation
//
// Who writes --network pasta or slirp4netns gets that program and no other, as with
// podman: it makes an interface in the container's network namespace and carries its
// packets. It is a child of the container's monitor, which ends it with the
// container and starts it again if it dies before, and dies with the monitor. Nothing of networks that have a process of
// their own (libpod/netd) is there: no names of other containers, no ports that come
// and go.
//
// pasta takes options of its own command line, which are passed on, but for those
// that say how it is started. slirp4netns takes the options that podman-run(1) has
// for it.
//
// Ports are the program's, known when it starts. Whether the host's are free is found
// out before, because neither says which one was not.
package netprog

import (
	"fmt"
	"net/netip"
	"os/exec"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/hostnet"
	"github.com/nook-containers/nook/pkg/problem"
)

// Program is what carries the network of a container.
type Program interface {
	// View is what the container sees.
	View() View

	name() string
	pkg() string // that has it, on most systems
	check([]spec.Port) error
	args(ports []spec.Port) []string
}

// View is what a container sees of its network. Addresses may be invalid: not known,
// or none.
type View struct {
	Address netip.Addr   // its own
	Servers []netip.Addr // that answer names; none: the host's
	Host    netip.Addr   // leads to the host
}

// Of reports whether a program carries the network of containers with this mode.
func Of(mode string) bool { return mode == spec.NetworkPasta || mode == spec.NetworkSlirp }

// Parse reads the options of mode, one of which Of is true.
func Parse(mode string, options []string) (Program, error) {
	if mode == spec.NetworkPasta {
		return parsePasta(options)
	}
	return parseSlirp(options)
}

// Check reports whether the host can run p, and p can publish ports.
func Check(p Program, ports []spec.Port) error {
	_, err := find(p)
	if err == nil {
		err = p.check(ports)
	}
	return err
}

func find(p Program) (path string, err error) {
	path, err = exec.LookPath(p.name())
	if err != nil {
		return "", problem.Hint(fmt.Errorf("--network %s: the program %s is not installed", p.name(), p.name()),
			"install the package %s, or leave --network out", p.pkg())
	}
	return path, nil
}

// hostBeside is an address of the host that is not the container's own.
func hostBeside(own netip.Addr) netip.Addr { return hostnet.Primary(own) }
