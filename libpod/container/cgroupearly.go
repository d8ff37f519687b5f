package container

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/systemd"
)

// FoundGroups is what a start needs to know of control groups, found out while its
// request comes: where this process is in the tree and, where that part is not ours,
// whether the user's systemd has delegated it. The connection on which it said so is
// kept for the scope that it is asked for otherwise. One question takes 1.5 to 3 ms.
type FoundGroups struct {
	host      cgroups.Host
	delegated bool
	made      *cgroups.Group   // that the container's init may have been born in; nil: there is none, or it is taken
	manager   *systemd.Manager // nil: not asked, or taken
	err       error
	done      chan struct{} // closed when all that is final
}

// FindGroups begins to find it out. early is where this process is, and a group that was
// made there for the container, or nil. addresses are where the user's systemd may be.
func FindGroups(ctx context.Context, early func() (cgroups.Host, *cgroups.Group, error), addresses func() []systemd.Address) *FoundGroups {
	g := &FoundGroups{done: make(chan struct{})}
	go func() {
		defer close(g.done)
		g.host, g.made, g.err = early()
		g.ask(ctx, addresses)
	}()
	return g
}

func noneMade() (cgroups.Host, *cgroups.Group, error) {
	h, err := cgroups.Find()
	return h, nil, err
}

// ask asks nobody who is not there. What systemd does not say, it has not delegated;
// who needs it for a scope asks again, and gets the error.
func (g *FoundGroups) ask(ctx context.Context, addresses func() []systemd.Address) {
	if g.err != nil || g.host.Base != "" || g.host.Layout != cgroups.Unified {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, scopeWait)
	defer cancel()
	m, err := systemd.Connect(ctx, addresses())
	if err != nil {
		return
	}
	g.manager = m
	if unit := filepath.Base(g.host.Unit()); g.asks(unit) {
		g.delegated, err = m.Delegated(ctx, unit)
		if err != nil { // it does not work
			_ = m.Close()
			g.manager = nil
		}
	}
}

// asks reports whether only systemd can tell whose the unit is. Those that nook had
// made for containers are not ours.
func (g *FoundGroups) asks(unit string) bool {
	own := strings.HasPrefix(unit, groupPrefix) || strings.HasPrefix(unit, cgroups.Family)
	return g.host.Managed && g.host.Unit() != "" && !own
}

// take hands the connection over; nil: there is none.
func (g *FoundGroups) take() *systemd.Manager {
	if g == nil {
		return nil
	}
	<-g.done
	m := g.manager
	g.manager = nil
	return m
}

// takeMade hands the group over that was made early, if its directory is dir.
func (g *FoundGroups) takeMade(dir string) *cgroups.Group {
	if g == nil {
		return nil
	}
	<-g.done
	if g.made == nil || g.made.Dir() != dir {
		return nil
	}
	made := g.made
	g.made = nil
	return made
}

// Close ends the connection and removes the group, where nobody has taken them. It may
// be called more than once, and on nil.
func (g *FoundGroups) Close() {
	if m := g.take(); m != nil {
		_ = m.Close() // nothing was asked of it
	}
	if g != nil && g.made != nil {
		_ = g.made.Remove() // the next container sweeps what is left
		g.made = nil
	}
}
