package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/systemd"
)

// A pod's control group has those of its containers in it, and its limits are those
// of all together. It has no lock: it goes with the last group in it. Where systemd
// makes groups it is below a scope of the pod's.

// CheckPodPlace reports whether containers of a pod would be refused for what the
// pod asks for.
func CheckPodPlace(ctx context.Context, p spec.Pod, o Cgroups) error {
	if p.OwnGroups || p.CgroupParent == "" && reflect.DeepEqual(p.Resources, spec.Resources{}) {
		return nil
	}
	return CheckPlace(ctx, spec.Container{Pod: NewID(), PodGroup: &spec.PodGroup{Parent: p.CgroupParent, Resources: p.Resources}}, o)
}

// joinScope is what a container of a pod does: the first starts the scope, and the
// others have systemd move them there. One that is about to end, as its last
// process has ended, is waited for.
func (p *Placement) joinScope(ctx context.Context, m *systemd.Manager, scope systemd.Scope, seed int) error {
	for {
		group, err := m.EnsureScope(ctx, scope)
		if err != nil {
			return err
		}
		base, err := p.host.DirOf(scope.PIDs[0])
		move := func(sub string, pid int) error { return cgroups.Move(filepath.Join(base, sub), pid) }
		if group != "" {
			var ok bool
			if base, ok = p.host.Dir(group); !ok {
				return fmt.Errorf("the control group of %s is out of sight", scope.Name)
			}
			move = func(sub string, pid int) error { return m.Attach(ctx, scope.Name, "/"+sub, pid) }
		}
		if err == nil {
			err = p.settle(base, seed, move)
		}
		if err == nil {
			return p.limit(base)
		}
		if derr := p.drop(); derr != nil {
			return errors.Join(err, derr)
		}
		// In the scope this process would keep it from ending.
		if now, gerr := m.ScopeGroup(ctx, scope.Name); group == "" || gerr != nil || now != "" || ctx.Err() != nil {
			return errors.Join(err, gerr)
		}
	}
}

// settle makes the groups below a scope's, and moves this process and the beginning
// of the container to theirs.
func (p *Placement) settle(base string, seed int, move func(sub string, pid int) error) (err error) {
	dirs := []string{monitorGroup, p.plan.pod}
	if p.plan.stay {
		dirs = dirs[1:]
	}
	for _, dir := range dirs {
		// Not what is missing above it: that would be a scope that has gone.
		if err := os.Mkdir(filepath.Join(base, dir), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make control group: %w", err)
		}
	}
	if !p.plan.stay {
		if err := move(monitorGroup, os.Getpid()); err != nil {
			return err
		}
	}
	if p.group, err = cgroups.Make(filepath.Join(base, p.plan.sub)); err != nil {
		return err
	}
	if seed != 0 {
		if err := move(p.plan.sub, seed); err != nil {
			return err
		}
		p.moved = true
	}
	return nil
}

// drop removes the group that settle made.
func (p *Placement) drop() error {
	g := p.group
	p.group, p.moved = nil, false
	if g == nil {
		return nil
	}
	return g.Remove()
}
