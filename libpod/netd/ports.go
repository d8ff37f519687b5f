package netd

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/slirp"
)

// busyError tells which host port is taken.
type busyError struct {
	port spec.Port
	err  error
}

func (e *busyError) Error() string { return e.err.Error() }
func (e *busyError) Unwrap() error { return e.err }

// portsOf are the single ports of p, for a member.
func portsOf(n spec.Network, m member.Member, p spec.Port) ([]slirp.Port, error) {
	proto, ok := map[string]slirp.Proto{spec.ProtoTCP: slirp.TCP, spec.ProtoUDP: slirp.UDP}[p.Proto]
	if !ok {
		return nil, fmt.Errorf("publish port %d: protocol %q: want tcp or udp", p.ContainerPort, p.Proto)
	}
	// An address that cannot be read must not become every address of the host.
	host, err := ip.ParseAddr(cmp.Or(p.HostIP, n.HostIP))
	if err != nil {
		return nil, fmt.Errorf("publish port %d: %w", p.ContainerPort, err)
	}
	guest, out := addrsOf(m), make([]slirp.Port, 0, max(p.Range, 1))
	for i := range max(p.Range, 1) {
		one := slirp.Port{Proto: proto, HostIP: host, HostPort: p.HostPort, Guest: guest, GuestPort: p.ContainerPort + i}
		if p.HostPort != 0 {
			one.HostPort += i
		}
		if n.Internal || n.NoDefaultRoute {
			one.Source = slirp.SourceGateway // it has no way to answer others
		}
		out = append(out, one)
	}
	return out, nil
}

// publicPorts are ports as members name them, each on its own.
func publicPorts(ports []slirp.Port) []spec.Port {
	out := make([]spec.Port, 0, len(ports))
	for _, p := range ports {
		out = append(out, spec.Port{HostIP: ip.Text(p.HostIP), HostPort: p.HostPort, ContainerPort: p.GuestPort, Range: 1, Proto: p.Proto.String()})
	}
	return out
}

// publish opens ports for m, all or none of them.
func (s *server) publish(m *membership, ports []spec.Port) (err error) {
	have := len(m.ports)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close1(m, have))
		}
	}()
	if len(ports) > 0 && s.network.Internal {
		return problem.Hint(fmt.Errorf("network %s: is internal, and publishes no ports", s.network.Name), "use a network that was not made with --internal")
	}
	for _, p := range fixedFirst(ports) {
		each, err := portsOf(s.network, m.Member, p)
		if err != nil {
			return err
		}
		for _, one := range each {
			got, err := s.publishAny(m, one, p.HostRange)
			if err != nil {
				return err
			}
			m.ports = append(m.ports, got)
		}
	}
	return nil
}

// close1 unpublishes what m has from port number n on.
func (s *server) close1(m *membership, n int) error {
	var errs []error
	for _, p := range m.ports[n:] {
		errs = append(errs, s.stack.Unpublish(p))
	}
	m.ports = m.ports[:n]
	return errors.Join(errs...)
}

func (s *server) unpublish(m *membership) { _ = s.close1(m, 0) } // they are ours, so they are there

// fixedFirst puts ports of which there is a choice behind the others.
func fixedFirst(ports []spec.Port) []spec.Port {
	return slices.SortedStableFunc(slices.Values(ports), func(a, b spec.Port) int {
		return int(min(a.HostRange, 1)) - int(min(b.HostRange, 1))
	})
}

// publishAny opens one of n ports from p on; 0: p itself.
func (s *server) publishAny(m *membership, p slirp.Port, n uint16) (slirp.Port, error) {
	if n == 0 {
		return s.publishOne(m, p)
	}
	for i := range n {
		one := p
		one.HostPort += i
		if got, err := s.stack.Publish(s.ctx, one); err == nil || !isBusy(err) {
			return got, err
		}
	}
	return p, problem.Hint(fmt.Errorf("publish %d-%d/%s: none of these ports of the host is free", p.HostPort, p.HostPort+n-1, p.Proto),
		"leave them out for any that is free: --publish %d", p.GuestPort)
}

func isBusy(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, slirp.ErrPublished)
}

// publishOne opens one port. A former holder that is about to leave gets the time
// to: a member, or the process before this one.
func (s *server) publishOne(m *membership, p slirp.Port) (slirp.Port, error) {
	deadline := time.Now().Add(handOff)
	if m.Again {
		deadline = time.Now().Add(inherit)
	}
	for {
		got, err := s.stack.Publish(s.ctx, p)
		holder := s.holder(p)
		if err == nil || !isBusy(err) {
			return got, err
		}
		if time.Now().After(deadline) || holder == nil && !m.Again {
			return got, s.busy(p, holder, err)
		}
		s.waitUnlocked(holder)
	}
}

// waitUnlocked lets others leave, holder above all.
func (s *server) waitUnlocked(holder *membership) {
	s.mu.Unlock()
	defer s.mu.Lock()
	var gone chan struct{} // nil: for ever
	if holder != nil {
		gone = holder.gone
	}
	select {
	case <-gone:
	case <-time.After(10 * time.Millisecond):
	}
}

// holder is the member that has the host's side of p, or nil.
func (s *server) holder(p slirp.Port) *membership {
	for _, m := range s.members {
		if slices.ContainsFunc(m.ports, func(o slirp.Port) bool {
			return o.Proto == p.Proto && o.HostPort == p.HostPort && (o.HostIP == p.HostIP || !o.HostIP.IsValid() || !p.HostIP.IsValid() ||
				o.HostIP.IsUnspecified() || p.HostIP.IsUnspecified())
		}) {
			return m
		}
	}
	return nil
}

// busy explains a port that is taken.
func (s *server) busy(p slirp.Port, holder *membership, err error) error {
	b := &busyError{publicPorts([]slirp.Port{p})[0], err}
	if holder == nil {
		return b
	}
	b.err = fmt.Errorf("publish %s: the port is in use by container %s", p, holder.Name)
	return problem.Hint(b, "run: nook stop %s; or publish another port", holder.Name)
}

// changePorts publishes or unpublishes ports of a member.
func (s *server) changePorts(joined *membership, r member.Request) ([]spec.Port, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.of(joined, r.Of)
	if m == nil {
		return nil, errGone
	}
	if r.Op == member.Publish {
		have := len(m.ports)
		if err := s.publish(m, r.Ports); err != nil {
			return nil, err
		}
		return publicPorts(m.ports[have:]), nil
	}
	for _, p := range r.Ports {
		i := slices.IndexFunc(m.ports, func(o slirp.Port) bool { return publicPorts([]slirp.Port{o})[0] == p })
		if i < 0 {
			return nil, &codeError{member.CodeGone, fmt.Errorf("port %d/%s is not published at %d", p.ContainerPort, p.Proto, p.HostPort)}
		}
		if err := s.stack.Unpublish(m.ports[i]); err != nil {
			return nil, err
		}
		m.ports = slices.Delete(m.ports, i, i+1)
	}
	return nil, nil
}
