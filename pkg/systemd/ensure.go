package systemd

import (
	"context"
	"fmt"
)

// EnsureScope makes a scope as StartScope does, where none of that name runs, and
// returns when its processes are in it; the group is empty then. Else it returns
// the control group of the one that runs, as /proc/PID/cgroup would name it; the
// processes are where they were.
func (m *Manager) EnsureScope(ctx context.Context, s Scope) (group string, err error) {
	if err := m.watch(ctx); err != nil {
		return "", err
	}
	for {
		err := m.startOnce(ctx, &s)
		if !isError(err, "UnitExists") {
			return "", err
		}
		if group, err = m.ScopeGroup(ctx, s.Name); group != "" || err != nil {
			return group, err
		}
		if err := m.makeWay(ctx, s.Name); err != nil {
			return "", err
		}
	}
}

// ScopeGroup is the control group of a scope that runs; empty where none does.
func (m *Manager) ScopeGroup(ctx context.Context, name string) (string, error) {
	state, err := m.activeState(ctx, name)
	if err != nil || state != "active" {
		return "", err
	}
	return m.property(ctx, name, service+".Scope", "ControlGroup")
}

// makeWay waits until a unit that does not run is gone.
func (m *Manager) makeWay(ctx context.Context, name string) error {
	state, err := m.activeState(ctx, name)
	if err != nil {
		return err
	}
	switch state {
	case "active", "": // it is up, or gone, by now
		return ctx.Err()
	case "failed":
		_ = m.object.CallWithContext(ctx, managerName+".ResetFailedUnit", 0, name).Err // the next attempt tells
		return ctx.Err()
	case "activating": // by another process, which the manager tells us of, too
		_, err = m.next(ctx)
	default:
		err = m.awaitUnit(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	return nil
}
