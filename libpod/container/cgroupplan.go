package container

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/systemd"
)

// Names for Cgroups.Manager, as podman has them.
const (
	ManagerSystemd  = "systemd"
	ManagerCgroupfs = "cgroupfs"
)

// Cgroups says how containers get control groups.
type Cgroups struct {
	Manager string            // ManagerSystemd or ManagerCgroupfs; empty: what is right here
	Systemd []systemd.Address // where the user's systemd may be
	// Found is what was found out of this host; nil: it is when it is needed.
	Found *FoundGroups
}

// host is what this host has.
func (o *Cgroups) host(ctx context.Context) (cgroups.Host, error) {
	if o.Found == nil {
		o.Found = FindGroups(ctx, noneMade, func() []systemd.Address { return o.Systemd })
	}
	<-o.Found.done
	h := o.Found.host
	if o.Found.delegated && o.Manager != ManagerSystemd {
		h.Delegate()
	}
	return h, o.Found.err
}

// Names of groups. Those of containers are ours to sweep.
const (
	groupPrefix    = "nook-"
	containerGroup = "container"  // below a container's scope
	monitorGroup   = "monitor"    // beside it
	roomGroup      = "supervisor" // below a split unit, as podman's
)

type groupKind int

const (
	noGroup    groupKind = iota
	ownGroup             // made by us, in a part of the tree that is ours
	scopeGroup           // below a scope that systemd makes
)

// groupPlan is where a container's group comes from.
type groupPlan struct {
	kind groupKind
	base string // what is ours from here on down; not with scopeGroup
	dir  string // of the group; not with scopeGroup

	unit, slice string // of a scopeGroup; a container that is in its scope already has the unit too
	sub         string // below the unit's group; with scopeGroup
	pod         string // name of the pod's group, which dir or sub is in; empty: none
	stay        bool   // the monitor stays where it is
	makeRoom    bool   // move the processes of base itself to roomGroup first
}

// planGroup decides. It is pure.
func planGroup(h cgroups.Host, c spec.Container, id string, o Cgroups) (groupPlan, error) {
	p := groupPlan{stay: c.Cgroups == spec.CgroupsNoConmon, sub: containerGroup}
	unit, above := groupPrefix+id+".scope", c.CgroupParent
	if c.PodGroup != nil {
		p.pod, above = cgroups.Family+c.Pod, c.PodGroup.Parent
		p.sub, unit = p.pod+"/"+groupPrefix+id, p.pod+".scope"
	}
	parent := filepath.Dir(h.Own)
	switch {
	case c.Cgroups == spec.CgroupsDisabled:
		return groupPlan{stay: p.stay}, nil
	// It is started again by its own monitor, or by one of a container of its pod.
	case filepath.Base(parent) == unit:
		return groupPlan{kind: ownGroup, base: parent, dir: filepath.Join(parent, p.sub), unit: unit, pod: p.pod}, nil
	case c.Cgroups == spec.CgroupsSplit:
		return planSplit(h, id)
	case h.Base != "" && o.Manager != ManagerSystemd && !oneForAll(h, c, o):
		return planBelow(h.Base, above, p.pod, id)
	case h.Managed && (o.Manager == ManagerCgroupfs || len(o.Systemd) == 0):
		return planBelow(h.Own, above, p.pod, id)
	case h.Layout == cgroups.Unified && o.Manager != ManagerCgroupfs && len(o.Systemd) > 0:
		p.kind, p.unit, p.slice = scopeGroup, unit, first(above, "user.slice")
		return p, systemd.CheckSlice(p.slice)
	case o.Manager == ManagerSystemd:
		return groupPlan{}, problem.Hint(fmt.Errorf("cgroup manager systemd: %w", systemd.ErrNone), "leave --cgroup-manager out, or %s", lingerAdvice)
	}
	return groupPlan{stay: p.stay}, nil
}

const lingerAdvice = "run: loginctl enable-linger; and log in again"

// oneForAll reports whether the limits of a pod call for the group that systemd makes
// though h has a part of the tree that is ours: containers of the pod that are
// started elsewhere could not be in a group of that part.
func oneForAll(h cgroups.Host, c spec.Container, o Cgroups) bool {
	limited := c.PodGroup != nil && !reflect.DeepEqual(c.PodGroup.Resources, spec.Resources{})
	return limited && o.Manager == "" && len(o.Systemd) > 0 && h.UnderManager()
}

// planSplit takes the unit that nook was started as.
func planSplit(h cgroups.Host, id string) (groupPlan, error) {
	if h.Own == "" || h.Base == "" && !h.Managed {
		return groupPlan{}, problem.Hint(errors.New("--cgroups=split: the control group that nook is in is not yours"),
			"run: systemd-run --user -p Delegate=yes --wait -- nook run --cgroups=split ...")
	}
	base := h.Own
	if filepath.Base(base) == roomGroup {
		base = filepath.Dir(base) // an earlier container has made room
	}
	return groupPlan{
		kind: ownGroup, base: base, dir: filepath.Join(base, groupPrefix+id), makeRoom: base == h.Own,
	}, nil
}

// planBelow makes the group ourselves, in that of pod where there is one. above is
// meant to be below base, however it is spelled.
func planBelow(base, above, pod, id string) (groupPlan, error) {
	parent := strings.TrimPrefix(filepath.Clean("/"+above), base)
	for name := range strings.SplitSeq(strings.Trim(parent, "/"), "/") {
		if strings.HasPrefix(name, "cgroup.") || strings.HasPrefix(name, groupPrefix) || strings.HasPrefix(name, cgroups.Family) {
			return groupPlan{}, fmt.Errorf("cgroup parent %q: %q is taken", above, name)
		}
	}
	return groupPlan{kind: ownGroup, base: base, dir: filepath.Join(base, parent, pod, groupPrefix+id), pod: pod}, nil
}

// wantsGroup reports whether c, or its pod, asks for what only a control group can
// do; writes are those of both.
func wantsGroup(c spec.Container, writes []cgroups.Write) bool {
	if c.Cgroups != spec.CgroupsDefault && c.Cgroups != spec.CgroupsDisabled || c.CgroupParent != "" || c.PodGroup != nil && c.PodGroup.Parent != "" {
		return true
	}
	for _, w := range writes {
		if !w.Optional {
			return true
		}
	}
	return false
}

// ErrNoCgroup means that a container cannot have, or has not, a control group.
var ErrNoCgroup = errors.New("no control group")

// explainNoGroup says why there is none for what, and what to do about it.
func explainNoGroup(what string, h cgroups.Host) error {
	switch h.Layout {
	case cgroups.Hybrid, cgroups.Legacy:
		return problem.Hint(fmt.Errorf("%s: %w: this host gives the controllers to cgroup v1, which is root's", what, ErrNoCgroup),
			"boot the host with systemd.unified_cgroup_hierarchy=1 on the kernel command line")
	case cgroups.None:
		return problem.Hint(fmt.Errorf("%s: %w: cgroup v2 is not mounted", what, ErrNoCgroup),
			"run: sudo mount -t cgroup2 none /sys/fs/cgroup")
	case cgroups.Unified:
	}
	return problem.Hint(fmt.Errorf("%s: %w: no part of the cgroup tree is yours, and no systemd user manager answers", what, ErrNoCgroup), lingerAdvice)
}
