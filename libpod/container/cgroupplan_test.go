package container

import (
	"errors"
	"strings"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/systemd"
)

func TestPlanGroup(t *testing.T) {
	const id = "0123"
	session := cgroups.Host{Layout: cgroups.Unified, Mount: "/cg", Own: "/cg/user.slice/session-1.scope"}
	app := cgroups.Host{Layout: cgroups.Unified, Mount: "/cg", Own: "/cg/u/app.scope", Managed: true}
	ours := cgroups.Host{Layout: cgroups.Unified, Mount: "/cg", Own: "/cg/ci/job", Base: "/cg/ci"}
	again := cgroups.Host{Layout: cgroups.Unified, Mount: "/cg", Own: "/cg/u/nook-0123.scope/monitor", Managed: true}
	inside := cgroups.Host{Layout: cgroups.Unified, Mount: "/cg", Own: "/cg/u/libpod_pod_p.scope/monitor", Base: "/cg/u/libpod_pod_p.scope"}
	inPod := func(parent string) spec.Container {
		return spec.Container{Pod: "p", PodGroup: &spec.PodGroup{Parent: parent}}
	}
	limited := spec.Container{Pod: "p", PodGroup: &spec.PodGroup{Resources: spec.Resources{Memory: 1 << 30}}}
	unit := cgroups.Host{Layout: cgroups.Unified, Mount: "/cg", Own: "/cg/user@5.service/x.service", Base: "/cg/user@5.service/x.service"}
	hybrid := cgroups.Host{Layout: cgroups.Hybrid, Mount: "/cg/unified", Own: "/cg/unified"}
	split := cgroups.Host{Layout: cgroups.Unified, Mount: "/cg", Own: "/cg/u/x.service", Base: "/cg/u/x.service"}
	splitAgain := cgroups.Host{Layout: cgroups.Unified, Mount: "/cg", Own: "/cg/u/x.service/supervisor", Base: "/cg/u/x.service"}
	user := Cgroups{Systemd: []systemd.Address{{Path: "/s"}}}
	for name, tc := range map[string]struct {
		host cgroups.Host
		c    spec.Container
		o    Cgroups
		want groupPlan
		err  string
	}{
		"a session":                 {session, spec.Container{}, user, groupPlan{kind: scopeGroup, unit: "nook-0123.scope", slice: "user.slice", sub: "container"}, ""},
		"in a slice":                {session, spec.Container{CgroupParent: "a-b.slice"}, user, groupPlan{kind: scopeGroup, unit: "nook-0123.scope", slice: "a-b.slice", sub: "container"}, ""},
		"not a slice":               {session, spec.Container{CgroupParent: "/a"}, user, groupPlan{}, "NAME.slice"},
		"the monitor stays":         {session, spec.Container{Cgroups: spec.CgroupsNoConmon}, user, groupPlan{kind: scopeGroup, unit: "nook-0123.scope", slice: "user.slice", sub: "container", stay: true}, ""},
		"a session without systemd": {session, spec.Container{}, Cgroups{}, groupPlan{}, ""},
		"systemd is not wanted":     {session, spec.Container{}, Cgroups{Manager: ManagerCgroupfs, Systemd: user.Systemd}, groupPlan{}, ""},
		"systemd is wanted":         {session, spec.Container{}, Cgroups{Manager: ManagerSystemd}, groupPlan{}, "no systemd user manager"},
		"disabled":                  {ours, spec.Container{Cgroups: spec.CgroupsDisabled}, user, groupPlan{}, ""},
		"a unit of systemd's":       {app, spec.Container{}, user, groupPlan{kind: scopeGroup, unit: "nook-0123.scope", slice: "user.slice", sub: "container"}, ""},
		"systemd does not answer":   {app, spec.Container{}, Cgroups{}, groupPlan{kind: ownGroup, base: "/cg/u/app.scope", dir: "/cg/u/app.scope/nook-0123"}, ""},
		"ours":                      {ours, spec.Container{}, user, groupPlan{kind: ownGroup, base: "/cg/ci", dir: "/cg/ci/nook-0123"}, ""},
		"ours, yet systemd":         {ours, spec.Container{}, Cgroups{Manager: ManagerSystemd, Systemd: user.Systemd}, groupPlan{kind: scopeGroup, unit: "nook-0123.scope", slice: "user.slice", sub: "container"}, ""},
		"a parent":                  {ours, spec.Container{CgroupParent: "a/b"}, user, groupPlan{kind: ownGroup, base: "/cg/ci", dir: "/cg/ci/a/b/nook-0123"}, ""},
		"a parent, in full":         {ours, spec.Container{CgroupParent: "/cg/ci/a"}, user, groupPlan{kind: ownGroup, base: "/cg/ci", dir: "/cg/ci/a/nook-0123"}, ""},
		"a parent elsewhere":        {ours, spec.Container{CgroupParent: "../../x"}, user, groupPlan{kind: ownGroup, base: "/cg/ci", dir: "/cg/ci/x/nook-0123"}, ""},
		"another container":         {ours, spec.Container{CgroupParent: "nook-4567"}, user, groupPlan{}, "is taken"},
		"a file":                    {ours, spec.Container{CgroupParent: "cgroup.procs"}, user, groupPlan{}, "is taken"},
		"a restart":                 {again, spec.Container{}, user, groupPlan{kind: ownGroup, base: "/cg/u/nook-0123.scope", dir: "/cg/u/nook-0123.scope/container", unit: "nook-0123.scope"}, ""},
		"a pod":                     {session, inPod(""), user, groupPlan{kind: scopeGroup, unit: "libpod_pod_p.scope", slice: "user.slice", sub: "libpod_pod_p/nook-0123", pod: "libpod_pod_p"}, ""},
		"a pod in a slice":          {session, inPod("x.slice"), user, groupPlan{kind: scopeGroup, unit: "libpod_pod_p.scope", slice: "x.slice", sub: "libpod_pod_p/nook-0123", pod: "libpod_pod_p"}, ""},
		"a pod, ours":               {ours, inPod("a"), user, groupPlan{kind: ownGroup, base: "/cg/ci", dir: "/cg/ci/a/libpod_pod_p/nook-0123", pod: "libpod_pod_p"}, ""},
		"a unit of ours":            {unit, inPod(""), user, groupPlan{kind: ownGroup, base: unit.Base, dir: unit.Base + "/libpod_pod_p/nook-0123", pod: "libpod_pod_p"}, ""},
		"a unit of ours, limits":    {unit, limited, user, groupPlan{kind: scopeGroup, unit: "libpod_pod_p.scope", slice: "user.slice", sub: "libpod_pod_p/nook-0123", pod: "libpod_pod_p"}, ""},
		"ours, limits":              {ours, limited, user, groupPlan{kind: ownGroup, base: "/cg/ci", dir: "/cg/ci/libpod_pod_p/nook-0123", pod: "libpod_pod_p"}, ""},
		"started in a pod's scope":  {inside, inPod(""), user, groupPlan{kind: ownGroup, base: "/cg/u/libpod_pod_p.scope", dir: "/cg/u/libpod_pod_p.scope/libpod_pod_p/nook-0123", unit: "libpod_pod_p.scope", pod: "libpod_pod_p"}, ""},
		"another pod":               {ours, spec.Container{CgroupParent: "libpod_pod_q"}, user, groupPlan{}, "is taken"},
		"hybrid":                    {hybrid, spec.Container{}, user, groupPlan{}, ""},
		"split":                     {split, spec.Container{Cgroups: spec.CgroupsSplit}, user, groupPlan{kind: ownGroup, base: "/cg/u/x.service", dir: "/cg/u/x.service/nook-0123", makeRoom: true}, ""},
		"split, a second one":       {splitAgain, spec.Container{Cgroups: spec.CgroupsSplit}, user, groupPlan{kind: ownGroup, base: "/cg/u/x.service", dir: "/cg/u/x.service/nook-0123"}, ""},
		"split in a session":        {session, spec.Container{Cgroups: spec.CgroupsSplit}, user, groupPlan{}, "is not yours"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := planGroup(tc.host, tc.c, id, tc.o)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("got %v, want an error with %q", err, tc.err)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, tc.want)
			}
		})
	}
}

// What was asked for in vain is an error that says what to do; what was not asked
// for never is.
func TestNoGroupIsSilentUnlessAsked(t *testing.T) {
	for _, layout := range []cgroups.Layout{cgroups.Unified, cgroups.Hybrid, cgroups.Legacy, cgroups.None} {
		host := cgroups.Host{Layout: layout}
		for _, c := range []spec.Container{{}, {PodGroup: &spec.PodGroup{}}} {
			if _, err := newPlacement(host, c, "0", Cgroups{}); err != nil {
				t.Errorf("%s: %v", layout, err)
			}
		}
		for name, c := range map[string]spec.Container{
			"memory":  {Resources: spec.Resources{Memory: 1 << 30}},
			"pids":    {Resources: spec.Resources{Pids: 5}},
			"conf":    {Resources: spec.Resources{Unified: map[string]string{"memory.high": "1"}}},
			"enabled": {Cgroups: spec.CgroupsEnabled},
			"parent":  {CgroupParent: "x"},
			"pod":     {PodGroup: &spec.PodGroup{Resources: spec.Resources{Memory: 1 << 30}}},
			"pod's":   {PodGroup: &spec.PodGroup{Parent: "x"}},
		} {
			_, err := newPlacement(host, c, "0", Cgroups{})
			if !errors.Is(err, ErrNoCgroup) || problem.HintOf(err) == "" {
				t.Errorf("%s, %s: %v, hint %q", layout, name, err, problem.HintOf(err))
			}
		}
	}
	if _, err := newPlacement(cgroups.Host{}, spec.Container{Cgroups: spec.CgroupsDisabled, Resources: spec.Resources{Memory: 1 << 30}}, "0", Cgroups{}); err == nil {
		t.Error("a limit with --cgroups=disabled was taken")
	}
}
