package network

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
)

// Live changes the networks of containers that run. Connect returns when the
// container has its interface, and what it set up is undone if it fails; Disconnect
// when the interface is gone. Neither changes the record.
type Live interface {
	Connect(ctx context.Context, c *state.Container, n spec.Network, use spec.NetworkUse) error
	Disconnect(ctx context.Context, c *state.Container, n spec.Network) error
}

// Errors of Connect and Disconnect, to match with errors.Is.
var (
	ErrConnected    = errors.New("is in the network already")
	ErrNotConnected = errors.New("is not in the network")
)

// Connect puts c into one more network. live does it if c runs; nil refuses.
func (s Store) Connect(ctx context.Context, c *state.Container, use spec.NetworkUse, live Live) error {
	n, err := s.Get(use.Name)
	if err != nil {
		return err
	}
	if err := CheckUse(n, use); err != nil {
		return err
	}
	release, err := s.Hold(n.Name)
	if err != nil {
		return err
	}
	defer release()
	err = s.changeUses(c, live, func(cfg *state.Config, running bool) error {
		if mode, _ := cfg.Spec.NetworkMode(); mode != spec.NetworkBridge {
			return problem.Hint(fmt.Errorf("container %s: its network is %s, which excludes others", cfg.Name, mode),
				"make it anew: nook run --network %s", n.Name)
		}
		if _, in := Uses(cfg.Spec, n.Name); in {
			return fmt.Errorf("container %s: %w %s", cfg.Name, ErrConnected, n.Name)
		}
		if err := CheckEgress(n, cfg.Spec.Egress); err != nil {
			return err
		}
		cfg.Spec.Networks = append(slices.Clone(cfg.Spec.Networks), use)
		if running {
			return live.Connect(ctx, c, n, use)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.Reserve(use, c.ID); err != nil {
		return err
	}
	s.TellMember(events.Connect, n, c)
	return nil
}

// Disconnect takes c out of a network.
func (s Store) Disconnect(ctx context.Context, c *state.Container, name string, live Live) error {
	n, err := s.Get(name)
	if err != nil {
		return err
	}
	err = s.changeUses(c, live, func(cfg *state.Config, running bool) error {
		before := len(cfg.Spec.Networks)
		cfg.Spec.Networks = slices.DeleteFunc(slices.Clone(cfg.Spec.Networks), func(u spec.NetworkUse) bool { return u.Name == name })
		if len(cfg.Spec.Networks) == before {
			return fmt.Errorf("container %s: %w %s", cfg.Name, ErrNotConnected, name)
		}
		if running {
			return live.Disconnect(ctx, c, n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.TellMember(events.Disconnect, n, c)
	return nil
}

// changeUses changes c's record, while it neither starts nor, unless live can deal
// with that, runs.
func (s Store) changeUses(c *state.Container, live Live, change func(cfg *state.Config, running bool) error) error {
	running := false
	switch err := c.Hold(); {
	case err == nil:
		defer c.Release()
	case errors.Is(err, state.ErrRunning) && live != nil:
		running = true
	case errors.Is(err, state.ErrRunning):
		return problem.Hint(fmt.Errorf("%w; its networks can only be changed while it does not run, yet", err), "run: nook stop %s", c.Name)
	default:
		return err
	}
	return c.Change(func(cfg *state.Config) error { return change(cfg, running) })
}
