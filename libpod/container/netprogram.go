package container

import (
	"context"
	"os"
	"runtime"

	"github.com/nook-containers/nook/libpod/netprog"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
)

// checkProgram refuses options that the program has not which is to carry c's
// network, and, where c is to run, one that is not there.
func checkProgram(c spec.Container, run bool) error { //nolint:revive // run says what must be true
	mode, _ := c.NetworkMode()
	if !netprog.Of(mode) {
		return nil
	}
	p, err := netprog.Parse(mode, c.NetworkOptions)
	if err == nil && run {
		err = netprog.Check(p, c.Ports)
	}
	return err
}

// run has the program carry the network of c, whose first process is pid. It is ended
// with this thread, which the caller keeps and makes the monitor's.
func (n *Nets) run(ctx context.Context, c *state.Container, pid int) error {
	runtime.LockOSThread()
	ports := Ports(c.Spec, c.Image)
	if err := netprog.Check(n.program, ports); err != nil {
		return err
	}
	dir := c.RunDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var err error
	n.running, err = netprog.Start(ctx, n.program, dir, pid, ports)
	return err
}

// addProgram adds what a container finds whose network a program carries.
func (v *netView) addProgram(c spec.Container) error {
	mode, _ := c.NetworkMode()
	p, err := netprog.Parse(mode, c.NetworkOptions)
	if err != nil {
		return err
	}
	sees := p.View()
	v.outside, v.servers, v.host = true, sees.Servers, sees.Host
	if sees.Address.IsValid() {
		v.leases = []network.Lease{{IPv4: sees.Address}}
	}
	return nil
}
