package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/monitor"
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
	f, err := monitor.Dial(c)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	conn := attach.New(f)
	defer conn.Close()
	if err := conn.WriteJSON(attach.Open, monitor.Hello{Net: &call}); err != nil {
		return err
	}
	t, payload, err := conn.Read()
	if err != nil {
		return fmt.Errorf("%s: ask its monitor: %w", c.Name, err)
	}
	var a monitor.Answered
	if t != attach.Answered {
		return problem.Hint(fmt.Errorf("%s: its monitor cannot do this: it was started by an older version", c.Name), "run: nook restart %s", c.Name)
	}
	if err := json.Unmarshal(payload, &a); err != nil {
		return fmt.Errorf("%s: answer of its monitor: %w", c.Name, err)
	}
	if a.Error == "" {
		return nil
	}
	err = fmt.Errorf("%s: %s", c.Name, a.Error)
	if a.Hint != "" {
		err = problem.Hint(err, "%s", a.Hint)
	}
	return err
}
