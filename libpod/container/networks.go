package container

import (
	"errors"
	"fmt"
	"slices"

	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/cleanup"
	"github.com/nook-containers/nook/pkg/problem"
)

// Networks are those that the engine's containers can be in.
func (e *Engine) Networks() network.Store { return network.Of(e.State) }

// planNetworks completes what was asked for about networks: names in place of ids,
// ids of containers. Nothing is made yet.
func (e *Engine) planNetworks(r *Request) error {
	if err := checkProgram(r.Spec, r.Run); err != nil {
		return err
	}
	if mode, arg := r.Spec.NetworkMode(); mode == spec.NetworkContainer {
		other, err := e.State.Lookup(arg)
		if err != nil {
			return problem.Hint(fmt.Errorf("network of container %w", err), "run: nook ps -a")
		}
		if theirs, _ := other.Spec.NetworkMode(); theirs == spec.NetworkContainer {
			return fmt.Errorf("network of container %s: it has that of another itself", other.Name)
		}
		r.Spec.Network = spec.NetworkContainer + ":" + other.ID
	}
	var err error
	r.Spec.Networks, err = planUses(e.Networks(), r.Spec.Networks, r.Spec.Egress)
	return err
}

// planUses checks which networks are asked for, whether they keep the rules egress,
// and puts names in place of ids.
func planUses(nets network.Store, asked []spec.NetworkUse, egress []string) ([]spec.NetworkUse, error) {
	uses := slices.Clone(asked)
	for i := range uses {
		n, err := nets.Lookup(uses[i].Name)
		if errors.Is(err, network.ErrNotFound) {
			err = problem.Hint(err, "run: nook network create %s", uses[i].Name)
		}
		if err != nil {
			return nil, err
		}
		if uses[i].Name = n.Name; slices.ContainsFunc(uses[:i], func(u spec.NetworkUse) bool { return u.Name == n.Name }) {
			return nil, fmt.Errorf("network %s: given twice", n.Name)
		}
		if err := errors.Join(network.CheckUse(n, uses[i]), network.CheckEgress(n, egress)); err != nil {
			return nil, err
		}
	}
	return uses, checkInterfaces(uses)
}

// checkInterfaces finds two interfaces of one name, of which one may be made up.
func checkInterfaces(uses []spec.NetworkUse) error {
	seen := map[string]string{}
	for _, u := range uses {
		name := network.Interface(spec.Container{Networks: uses}, u.Name)
		if other, twice := seen[name]; twice {
			return fmt.Errorf("networks %s and %s: both interfaces would be called %s", other, u.Name, name)
		}
		seen[name] = u.Name
	}
	return nil
}

// holdNetworks keeps c's networks from being removed until release is called, which
// the caller does when others can see c.
func (e *Engine) holdNetworks(c *state.Container) (release func(), err error) {
	var held cleanup.Stack
	defer held.RunOnError(&err)
	for _, use := range c.Spec.Networks {
		leave, err := e.Networks().Hold(use.Name)
		if err != nil {
			return nil, err
		}
		held.Push("release network "+use.Name, func() error { leave(); return nil })
	}
	return func() { _ = held.Run() }, nil // closes descriptors that nothing was written to
}

// Ports are what the host listens for: what was asked for, and with PublishAll what
// the container or its image exposes and nothing else publishes.
func Ports(c spec.Container, img spec.ImageConfig) []spec.Port {
	ports := slices.Clone(c.Ports)
	if !c.PublishAll {
		return ports
	}
	for _, x := range Exposed(c, img) {
		if !slices.ContainsFunc(ports, func(p spec.Port) bool {
			return p.Proto == x.Proto && p.ContainerPort <= x.ContainerPort && int(x.ContainerPort) < int(p.ContainerPort)+int(p.Range)
		}) {
			ports = append(ports, x)
		}
	}
	return ports
}

// Exposed are the ports that the container or its image says it listens on, one by
// one. What of an image cannot be understood, or published, is left out.
func Exposed(c spec.Container, img spec.ImageConfig) []spec.Port {
	all := slices.Clone(c.Expose)
	for _, text := range img.Ports {
		if ports, err := syntax.Expose(text); err == nil {
			all = append(all, ports...)
		}
	}
	var out []spec.Port
	for _, p := range all {
		for i := range int(p.Range) {
			one := spec.Port{ContainerPort: p.ContainerPort + uint16(i), Range: 1, Proto: p.Proto} //nolint:gosec // within the range
			if !slices.Contains(out, one) {
				out = append(out, one)
			}
		}
	}
	return out
}
