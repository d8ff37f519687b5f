package container

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/pod"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/logs"
	"github.com/nook-containers/nook/pkg/problem"
)

// ErrInfra means that a container goes only with its pod.
var ErrInfra = errors.New("it holds the namespaces of a pod")

// errNoFiles is why an infra container is no use to who wants files.
var errNoFiles = errors.New("it has no files, only the namespaces of its pod")

// NeedsEngine reports whether the ids of a pod are looked up or chosen when it is
// made: that takes Engine.CreatePod.
func NeedsEngine(p spec.Pod) bool {
	return p.UserNS.Mode == spec.UserNSAuto || p.UserNS.Mode == spec.UserNSPath
}

// CreatePod is the function of this name for any pod. Without a size one of
// --userns=auto has minAuto ids: it has no image to look at.
func (e *Engine) CreatePod(p spec.Pod, command []string) (*pod.Pod, error) {
	letGo, err := e.chooseIDs(&p.UserNS, func() (uint32, error) { return minAuto, nil })
	if err != nil {
		return nil, err
	}
	defer letGo()
	return CreatePod(e.State, p, command)
}

// CreatePod makes a pod and its infra container. command is the command line that
// asks for it, for inspect. It needs no layers, and unless NeedsEngine says
// otherwise it works anywhere.
func CreatePod(s state.Store, p spec.Pod, command []string) (*pod.Pod, error) {
	var err error
	if p.Networks, err = planUses(network.Of(s), p.Networks, nil); err != nil {
		return nil, err
	}
	if err := checkProgram(spec.Container{Network: p.Network, NetworkOptions: p.NetworkOptions}, false); err != nil {
		return nil, err
	}
	for {
		cfg := pod.Config{ID: NewID(), Name: p.Name, Created: time.Now(), Command: command, Spec: p}
		if cfg.Name == "" {
			cfg.Name = randomName()
		}
		fill := func() (func() error, error) { return func() error { return nil }, nil }
		if p.Infra {
			cfg.InfraID = NewID()
			fill = func() (func() error, error) { return makeInfra(s, cfg) }
		}
		made, err := pod.Of(s).Create(cfg, fill)
		if errors.Is(err, pod.ErrExists) && p.Name == "" {
			continue // a made-up name happened to be taken
		}
		if err != nil {
			return nil, err
		}
		events.TellPod(made, events.Create)
		return made, nil
	}
}

func makeInfra(s state.Store, p pod.Config) (discard func() error, err error) {
	name := p.Spec.InfraName
	if name == "" {
		name = p.ID[:12] + "-infra"
	}
	hostname := ""
	if p.Spec.UTS != spec.NSHost {
		hostname = (&pod.Pod{Config: p}).Hostname()
	}
	c, err := s.Create(state.Config{
		ID: p.InfraID, Name: name, Created: p.Created, ImageName: infraImage, Command: []string{ocispec.InfraCommand},
		Spec: spec.Container{
			Version: spec.Version, Name: name, Pod: p.ID, Infra: true, Hostname: hostname, Log: spec.Log{Driver: logs.None},
			Network: p.Spec.Network, NetworkOptions: p.Spec.NetworkOptions, Networks: p.Spec.Networks, Ports: p.Spec.Ports,
			DNS: p.Spec.DNS, HostLoopback: p.Spec.HostLoopback, PID: p.Spec.PID, UTS: p.Spec.UTS, UserNS: p.Spec.UserNS,
			Sysctls: p.Spec.Sysctls, ShmSize: p.Spec.ShmSize, PodGroup: (&pod.Pod{Config: p}).Group(),
		},
	})
	if err != nil {
		return nil, err
	}
	if err := c.Commit(); err != nil {
		return nil, errors.Join(err, c.Discard())
	}
	c.Release() // others start it
	return func() error { return dropLayerless(c) }, nil
}

// dropLayerless removes a container that has no layer and does not run.
func dropLayerless(c *state.Container) error {
	if err := c.Hold(); err != nil {
		return err
	}
	defer c.Release()
	return c.Remove(func(string) error { return nil })
}

// infraImage is shown where a container of an image would show that.
const infraImage = "<infra>"

// PodMember is a container of a pod with what is true of it now.
type PodMember = Listed

// PodMembers returns the containers of a pod, oldest first.
func PodMembers(p *pod.Pod) ([]PodMember, error) {
	members, err := pod.Of(p.Containers()).Members(p.ID)
	if err != nil {
		return nil, err
	}
	out := make([]PodMember, 0, len(members))
	for _, c := range members {
		st, err := c.Status()
		if err != nil {
			return nil, err
		}
		out = append(out, Listed{Container: c, Status: st})
	}
	return out, nil
}

// StopPod ends the containers of a pod, all at once, and then its infra container.
// Where one is paused, all stay as they are.
func StopPod(ctx context.Context, p *pod.Pod, wait time.Duration) error {
	members, err := PodMembers(p)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(members, func(m PodMember) bool { return m.Word == state.Paused }) {
		return problem.Hint(fmt.Errorf("stop pod %s: %w", p.Name, ErrPaused), "run: nook pod unpause %s", p.Name)
	}
	return stopMembers(ctx, p, members, wait)
}

func stopMembers(ctx context.Context, p *pod.Pod, members []PodMember, wait time.Duration) error {
	stop := func(m PodMember) error { return Stop(ctx, m.Container, endSignal(m.Container), wait) }
	err := EachMember(members, func(m PodMember) error {
		if m.Spec.Infra {
			return nil
		}
		return stop(m)
	})
	for _, m := range members {
		if m.Spec.Infra && err == nil {
			err = stop(m)
		}
	}
	if err == nil {
		events.TellPod(p, events.Stop)
	}
	return err
}

// EachMember does work for all members at once.
func EachMember(members []PodMember, work func(PodMember) error) error {
	errs := make([]error, len(members))
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() { errs[i] = work(m) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// KillPod signals every container of a pod that runs; the infra container only
// with SIGKILL, as it knows no other signal than those that end it.
func KillPod(p *pod.Pod, sig syscall.Signal) error {
	members, err := PodMembers(p)
	if err != nil {
		return err
	}
	err = EachMember(members, func(m PodMember) error {
		if !m.Alive() || m.Spec.Infra && sig != syscall.SIGKILL {
			return nil
		}
		if err := Kill(m.Container, sig); !errors.Is(err, ErrNotRunning) {
			return err
		}
		return nil
	})
	if err == nil {
		events.TellPod(p, events.Kill, events.Attribute("signal", strconv.Itoa(int(sig))))
	}
	return err
}

// RemovePod deletes a pod and its containers. One of which a container runs is
// state.ErrRunning unless Force is set. Once others do not see the pod any more it
// does not come back, even if this process is killed.
func (e *Engine) RemovePod(ctx context.Context, p *pod.Pod, o RemoveOptions) error {
	ready := func() error {
		members, err := PodMembers(p)
		if err != nil {
			return err
		}
		for _, m := range members {
			if err := neededOutside(m.Container); err != nil {
				return fmt.Errorf("remove pod %s: %w", p.Name, err)
			}
			if m.Status.Monitor != 0 && !o.Force {
				return problem.Hint(fmt.Errorf("remove pod %s: %s: %w", p.Name, m.Name, state.ErrRunning), "run: nook pod rm -f %s", p.Name)
			}
		}
		if !o.Force {
			return nil
		}
		return stopMembers(ctx, p, members, o.Timeout)
	}
	err := p.Remove(ready, func() error { return e.removeMembers(ctx, p.ID, o) })
	if err == nil {
		events.TellPod(p, events.Remove)
	}
	return err
}

// neededOutside looks for containers of no pod, or of another, that have namespaces
// of m.
func neededOutside(m *state.Container) error {
	dependents, err := Dependents(m)
	if err != nil {
		return err
	}
	dependents = slices.DeleteFunc(dependents, func(d *state.Container) bool { return d.Spec.Pod == m.Spec.Pod })
	if len(dependents) == 0 {
		return nil
	}
	return problem.Hint(fmt.Errorf("%s: %w: %s", m.Name, ErrDependents, namesOf(dependents)), "run: nook rm %s", namesOf(dependents))
}

// removeMembers deletes the containers of a pod that is out of sight, the infra
// container last.
func (e *Engine) removeMembers(ctx context.Context, id string, o RemoveOptions) error {
	o.Force, o.WithPod, o.Volumes = true, true, true
	members, err := pod.Of(e.State).Members(id)
	if err != nil {
		return err
	}
	for _, infra := range []bool{false, true} {
		for _, m := range members {
			if m.Spec.Infra != infra {
				continue
			}
			if err := e.Remove(ctx, m, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweepPods finishes what killed commands began.
func (e *Engine) sweepPods(ctx context.Context) error {
	return pod.Of(e.State).Sweep(func(id string) error { return e.removeMembers(ctx, id, RemoveOptions{}) })
}

// DefaultShare are the namespaces that the containers of a pod share.
func DefaultShare() []string { return []string{spec.ShareIPC, spec.ShareNet, spec.ShareUTS} }

// errHasContainers keeps a pod from being dropped.
var errHasContainers = errors.New("the pod has containers")

// DropEmptyPod removes a pod that has no container but its infra container, which
// does not run. It needs no layers. Any other pod stays.
func DropEmptyPod(p *pod.Pod) error {
	var members []PodMember
	err := p.Remove(func() (err error) {
		members, err = PodMembers(p)
		for _, m := range members {
			if !m.Spec.Infra || m.Status.Monitor != 0 {
				return errHasContainers
			}
		}
		return err
	}, func() error {
		for _, m := range members {
			if err := dropLayerless(m.Container); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errHasContainers) {
		return nil
	}
	if err == nil {
		events.TellPod(p, events.Remove)
	}
	return err
}

// Sweep finishes what killed commands began to make or to remove.
func (e *Engine) Sweep(ctx context.Context) error {
	return errors.Join(e.sweepPods(ctx), e.State.Sweep(e.forget))
}
