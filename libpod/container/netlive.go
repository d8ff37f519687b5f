package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
)

// LiveNetworks changes the networks of running containers, by way of their
// monitors, which hold the memberships.
type LiveNetworks struct{ network.Store }

var _ network.Live = LiveNetworks{}

// Connect has c join the network n.
func (l LiveNetworks) Connect(ctx context.Context, c *state.Container, n spec.Network, use spec.NetworkUse) error {
	lease, err := l.Acquire(ctx, n, use, c.ID)
	if err != nil {
		return err
	}
	r := JoinRequest(c, n, use, lease)
	if err := callMonitor(c, monitor.NetCall{Dir: l.RunDir(n.Name), Join: &r}); err != nil {
		return errors.Join(err, l.Release(ctx, n.Name, c.ID))
	}
	return nil
}

// Disconnect has c leave it.
func (l LiveNetworks) Disconnect(ctx context.Context, c *state.Container, n spec.Network) error {
	if err := callMonitor(c, monitor.NetCall{Dir: l.RunDir(n.Name)}); err != nil {
		return err
	}
	return l.Release(ctx, n.Name, c.ID)
}

// callMonitor asks the monitor of c and waits for the answer.
func callMonitor(c *state.Container, call monitor.NetCall) error {
	_, err := askMonitor(c, monitor.Hello{Net: &call})
	return err
}

// askMonitor says hello, which asks for an Answered frame, to the monitor of c. An
// answer that is an error is a *member.Error.
func askMonitor(c *state.Container, hello monitor.Hello) (a monitor.Answered, err error) {
	f, err := monitor.Dial(c)
	if err != nil {
		return a, fmt.Errorf("%s: %w", c.Name, err)
	}
	conn := attach.New(f)
	defer conn.Close()
	if err := conn.WriteJSON(attach.Open, hello); err != nil {
		return a, err
	}
	t, payload, err := conn.Read()
	if err != nil {
		return a, fmt.Errorf("%s: ask its monitor: %w", c.Name, err)
	}
	if t != attach.Answered {
		return a, problem.Hint(fmt.Errorf("%s: its monitor cannot do this: it was started by an older version", c.Name), "run: nook restart %s", c.Name)
	}
	if err := json.Unmarshal(payload, &a); err != nil {
		return a, fmt.Errorf("%s: answer of its monitor: %w", c.Name, err)
	}
	if a.Error == "" {
		return a, nil
	}
	said := &member.Error{Text: a.Error, Hint: a.Hint}
	if a.Busy != nil {
		said.Code, said.Busy = member.CodeBusy, &spec.Port{Proto: a.Busy.Proto, HostPort: a.Busy.Port}
	}
	err = fmt.Errorf("%s: %w", c.Name, said)
	if a.Hint != "" {
		err = problem.Hint(err, "%s", a.Hint)
	}
	return a, err
}

// AddPorts publishes ports of c, which runs, until it ends. What it returns are those,
// each on its own, with the host's ports. A host port that is taken is a
// *member.Error that tells which.
func AddPorts(c *state.Container, ports []spec.Port) ([]spec.Port, error) {
	return changePorts(c, monitor.PortCall{Add: ports})
}

// RemovePorts takes back what is published of c, which runs, until it ends: those of
// its ports that each of ports means. Host's ports and addresses matter where ports
// have them. What it returns are those that are gone.
func RemovePorts(c *state.Container, ports []spec.Port) ([]spec.Port, error) {
	return changePorts(c, monitor.PortCall{Remove: ports})
}

func changePorts(c *state.Container, call monitor.PortCall) ([]spec.Port, error) {
	if err := publishes(c); err != nil {
		return nil, err
	}
	if err := mustRun(c); err != nil {
		return nil, err
	}
	a, err := askMonitor(c, monitor.Hello{Ports: &call})
	return a.Ports, err
}

// publishes refuses a container whose network has no ports that come and go.
func publishes(c *state.Container) error {
	switch mode, of := c.Spec.NetworkMode(); mode {
	case spec.NetworkBridge:
		return nil
	case spec.NetworkContainer:
		name := of
		if other, err := c.Store().Lookup(of); err == nil {
			name = other.Name
		}
		return problem.Hint(fmt.Errorf("%s: has the network of container %s, which publishes its ports", c.Name, name), "name that one: nook port add %s PORT", name)
	case spec.NetworkHost:
		return fmt.Errorf("%s: with --network host its ports are the host's already", c.Name)
	default:
		return problem.Hint(fmt.Errorf("%s: with --network %s no ports can be published while it runs", c.Name, mode), "make it anew, without --network")
	}
}
