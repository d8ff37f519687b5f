package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/cgroups/limits"
	"github.com/nook-containers/nook/pkg/oci/seed"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/systemd"
)

// Placement is a container's control group in the making. A part of the tree that
// is ours gives one at once; systemd takes some milliseconds, which pass while the
// store is at work.
type Placement struct {
	id     string
	host   cgroups.Host
	opts   Cgroups
	plan   groupPlan
	writes []cgroups.Write
	shared []cgroups.Write // of the pod's group
	last   []cgroups.Write // of writes, those that tighten makes

	group  *cgroups.Group     // nil: none, or not yet
	cancel context.CancelFunc // ends what Begin began; nil: it did not
	done   chan struct{}      // closed when what follows is final, and group
	err    error
	// manager is a connection to the user's systemd, for makeScope; nil: that makes one.
	manager *systemd.Manager
	moved   bool // the init that was there already is in the group
}

// Place decides where a container gets its control group, and makes it where no
// systemd is needed. What c asks for in vain is an error; everything else is left
// out without a word.
func Place(ctx context.Context, c spec.Container, id string, o Cgroups) (*Placement, error) {
	host, err := o.host(ctx)
	if err != nil {
		return nil, err
	}
	defer o.Found.Close()
	p, err := newPlacement(host, c, id, o)
	if err == nil && p.plan.kind == scopeGroup {
		p.manager = o.Found.take()
	}
	if err != nil || p.plan.kind != ownGroup {
		return p, err
	}
	if err := p.makeOwn(); err != nil {
		if !wantsGroup(c, p.all()) {
			p.plan.kind = noGroup // a tree that only looked as if it were ours
			return p, p.Abandon()
		}
		return nil, errors.Join(fmt.Errorf("control group: %w", err), p.Abandon())
	}
	return p, nil
}

// CheckPlace reports whether Place and Begin would refuse c.
func CheckPlace(ctx context.Context, c spec.Container, o Cgroups) error {
	host, err := o.host(ctx)
	if err != nil {
		return err
	}
	defer o.Found.Close()
	p, err := newPlacement(host, c, NewID(), o)
	if err == nil {
		p.manager = o.Found.take()
		defer p.disconnect()
	}
	if err != nil || p.plan.kind != scopeGroup || len(cgroups.Needed(p.all())) == 0 {
		return err
	}
	m, err := p.connect(ctx)
	if err != nil {
		return err
	}
	return m.Close()
}

func newPlacement(host cgroups.Host, c spec.Container, id string, o Cgroups) (*Placement, error) {
	writes, err := limitsOf(c.Resources)
	if err != nil {
		return nil, err
	}
	p := &Placement{id: id, host: host, opts: o, writes: writes}
	if c.PodGroup != nil {
		if p.shared, err = limitsOf(c.PodGroup.Resources); err != nil {
			return nil, err
		}
		// Only containers have a limit of processes that nobody asked for.
		p.shared = slices.DeleteFunc(p.shared, func(w cgroups.Write) bool { return w.Optional && w.File == pidsMax })
	}
	if p.plan, err = planGroup(host, c, id, o); err != nil {
		return nil, err
	}
	wants := wantsGroup(c, p.all())
	switch {
	case wants && c.Cgroups == spec.CgroupsDisabled:
		return nil, errors.New("--cgroups=disabled: limits and a cgroup parent need a control group")
	case wants && p.plan.kind == noGroup:
		return nil, explainNoGroup("set limits", host)
	case p.plan.kind == ownGroup:
		return p, cgroups.Check(p.plan.base, p.all())
	}
	return p, nil
}

// all is what is written to the group and to its pod's.
func (p *Placement) all() []cgroups.Write { return slices.Concat(p.writes, p.shared) }

const (
	pidsMax = "pids.max"

	// ownThreads is more than a program of ours has threads that is on its way to be a
	// container's command. They count in its group as long, and it cannot do with fewer.
	ownThreads = 16
)

// limitsOf are the files to write. What was not asked for is optional.
func limitsOf(r spec.Resources) ([]cgroups.Write, error) {
	devices := map[string]ocispec.DeviceNumber{}
	for _, list := range [][]spec.DeviceAmount{r.BlkioWeightDevices, r.ReadBps, r.WriteBps, r.ReadIOps, r.WriteIOps} {
		for _, d := range list {
			major, minor, err := sys.BlockDevice(d.Path)
			if err != nil {
				return nil, err
			}
			n := ocispec.DeviceNumber{Major: major, Minor: minor}
			if err := wholeDisk(blockDevices, d.Path, n); err != nil {
				return nil, err
			}
			devices[d.Path] = n
		}
	}
	writes, err := limits.Plan(ocispec.Resources(r, devices))
	if err != nil {
		return nil, err
	}
	for i := range writes {
		switch writes[i].File {
		case "memory.swap.max": // a kernel without swap has no such file
			writes[i].Optional = r.MemorySwap == 0
		case pidsMax:
			writes[i].Optional = r.Pids == 0
		}
	}
	return writes, nil
}

// makeOwn makes the group of an ownGroup.
func (p *Placement) makeOwn() (err error) {
	if p.plan.makeRoom {
		if err := cgroups.Evacuate(p.plan.base, roomGroup); err != nil {
			return err
		}
	}
	parent := filepath.Dir(p.plan.dir)
	if p.group = p.opts.Found.takeMade(p.plan.dir); p.group == nil {
		if p.group, err = cgroups.Make(p.plan.dir); err != nil {
			return err
		}
	}
	// What is left of killed monitors costs little, and nobody asked for it.
	_ = cgroups.Sweep(parent, groupPrefix)
	return p.limit(p.plan.base)
}

// limit has controllers handed down from base to the group, and sets the limits.
func (p *Placement) limit(base string) error {
	parent := filepath.Dir(p.group.Dir())
	if p.plan.pod != "" {
		if err := cgroups.Enable(base, filepath.Dir(parent), cgroups.Needed(p.all())); err != nil {
			return err
		}
		if err := cgroups.Set(parent, p.shared); err != nil {
			return fmt.Errorf("pod: %w", err)
		}
	}
	if err := cgroups.Enable(base, parent, cgroups.Needed(p.writes)); err != nil {
		return err
	}
	var now []cgroups.Write
	now, p.last = cgroups.HoldBack(p.writes, ownThreads)
	return p.group.Set(now)
}

// tighten sets the limits that the container's init could not have kept, once it is the
// command: what that has started by then stays, as with a limit that is lowered.
func (p *Placement) tighten() error {
	if p == nil || p.group == nil || len(p.last) == 0 {
		return nil
	}
	if err := p.group.Set(p.last); err != nil {
		return fmt.Errorf("control group: %w", err)
	}
	return nil
}

// Begin starts what takes time. seed is the pid of the container's init, if that
// exists already, else 0.
func (p *Placement) Begin(ctx context.Context, seed int) {
	if p == nil || p.plan.kind != scopeGroup {
		return
	}
	ctx, p.cancel = context.WithTimeout(ctx, scopeWait)
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		defer p.cancel()
		p.err = p.makeScope(ctx, seed)
	}()
}

// scopeWait is how long systemd may take for a scope.
const scopeWait = 30 * time.Second

func (p *Placement) makeScope(ctx context.Context, seed int) error {
	m, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	scope := systemd.Scope{Name: p.plan.unit, Slice: p.plan.slice, Description: "nook container " + p.id}
	if p.plan.pod != "" {
		scope.Description = "nook pod " + strings.TrimPrefix(p.plan.pod, cgroups.Family)
	}
	if !p.plan.stay {
		scope.PIDs = append(scope.PIDs, os.Getpid())
	}
	if seed != 0 {
		scope.PIDs = append(scope.PIDs, seed)
	}
	if len(scope.PIDs) == 0 {
		return errors.New("--cgroups=no-conmon: needs nook's own runtime where systemd makes the control groups")
	}
	if p.plan.pod != "" {
		return p.joinScope(ctx, m, scope, seed)
	}
	if err := m.StartScope(ctx, scope); err != nil {
		return err
	}
	base, err := p.host.DirOf(scope.PIDs[0])
	if err != nil {
		return err
	}
	move := func(sub string, pid int) error { return cgroups.Move(filepath.Join(base, sub), pid) }
	if err := p.settle(base, seed, move); err != nil {
		return err
	}
	return p.limit(base)
}

// connect finds the user's systemd, and whether it has the controllers.
func (p *Placement) connect(ctx context.Context) (*systemd.Manager, error) {
	m, err := p.manager, error(nil)
	if p.manager = nil; m == nil {
		m, err = systemd.Connect(ctx, p.opts.Systemd)
	}
	if err != nil || len(cgroups.Needed(p.all())) == 0 {
		return m, err
	}
	name, err := m.ControlGroup(ctx)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	if dir, ok := p.host.Dir(name); ok {
		if err := cgroups.Check(dir, p.all()); err != nil {
			return nil, errors.Join(err, m.Close())
		}
	}
	return m, nil
}

// disconnect ends a connection that was not used.
func (p *Placement) disconnect() {
	if p.manager != nil {
		_ = p.manager.Close() // nothing was asked of it
		p.manager = nil
	}
}

// Wanted reports whether the container must not run without its group.
func (p *Placement) Wanted(c spec.Container) bool {
	return p != nil && (p.opts.Manager == ManagerSystemd || wantsGroup(c, p.all()))
}

// File is the group's directory if it is there already, for an init to be born in;
// else nil.
func (p *Placement) File() *os.File {
	if p == nil || p.group == nil || p.done != nil {
		return nil
	}
	return p.group.File()
}

// Wait waits for what Begin began. What went wrong is an error only where c asks
// for it.
func (p *Placement) Wait(c spec.Container) error {
	if p == nil || p.done == nil {
		return nil
	}
	<-p.done
	if p.err != nil && p.Wanted(c) {
		return fmt.Errorf("control group: %w", p.err)
	}
	return nil
}

// home is the group's directory, to be in for the container's init, of which s is
// the beginning; nil where there is no group. Only after Wait.
func (p *Placement) home(s *seed.Seed) *os.File {
	if p == nil || p.group == nil {
		return nil
	}
	if p.moved && s != nil {
		s.Moved(p.group.File())
	}
	return p.group.File()
}

// Abandon removes the group. It may be called more than once, and on nil.
func (p *Placement) Abandon() error {
	if p == nil {
		return nil
	}
	if p.cancel != nil {
		p.cancel()
		<-p.done
	}
	p.disconnect()
	if p.group == nil {
		return nil
	}
	g := p.group
	p.group = nil
	return g.Remove()
}

// take hands the group over to who looks after it from now on; nil: there is none.
func (p *Placement) take() *cgroups.Group {
	if p == nil {
		return nil
	}
	g := p.group
	p.group = nil
	return g
}

// Dir is the group's directory, empty without one. Only after Wait.
func (p *Placement) Dir() string {
	if p == nil || p.group == nil {
		return ""
	}
	return p.group.Dir()
}

// Unit is the scope that the group is in, if there is one.
func (p *Placement) Unit() string {
	if p == nil || p.group == nil {
		return ""
	}
	return p.plan.unit
}
