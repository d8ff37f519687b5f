package netprog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/problem/remedy"
)

// claim returns ports one by one, with free ports of the host in place of 0. One that
// is taken is a *member.Error that tells which. They are free when it returns: somebody
// may be faster than the program, which then ends.
func claim(ctx context.Context, ports []spec.Port) ([]spec.Port, error) {
	var out []spec.Port
	var held []io.Closer
	defer func() {
		for _, h := range held {
			_ = h.Close()
		}
	}()
	for _, choice := range []bool{false, true} { // where there is one, it is made last
		for _, p := range ports {
			if (p.HostRange != 0) != choice {
				continue
			}
			for i := range max(p.Range, 1) {
				one := p
				one.Range, one.HostRange, one.ContainerPort = 1, 0, p.ContainerPort+i
				if p.HostPort != 0 {
					one.HostPort = p.HostPort + i
				}
				h, err := listenAny(ctx, &one, p.HostRange)
				if err != nil {
					return nil, err
				}
				held, out = append(held, h), append(out, one)
			}
		}
	}
	return out, nil
}

// listenAny listens at one of n ports from p on, which it sets; 0: p itself.
func listenAny(ctx context.Context, p *spec.Port, n uint16) (io.Closer, error) {
	first := *p
	for i := range n {
		p.HostPort = first.HostPort + i
		if h, err := listen(ctx, p); !errors.Is(err, syscall.EADDRINUSE) {
			return h, explain(*p, err)
		}
	}
	if n == 0 {
		h, err := listen(ctx, p)
		return h, explain(*p, err)
	}
	return nil, problem.Hint(fmt.Errorf("publish %d-%d/%s: none of these ports of the host is free", first.HostPort, first.HostPort+n-1, p.Proto),
		"leave them out for any that is free: --publish %d", p.ContainerPort)
}

// listen listens at p, whose host port it sets where that is 0.
func listen(ctx context.Context, p *spec.Port) (io.Closer, error) {
	host := ""
	if p.HostIP != "" { // never every address in place of one that cannot be read
		a, err := ip.ParseAddr(p.HostIP)
		if err != nil {
			return nil, err
		}
		host = a.String()
	}
	address := net.JoinHostPort(host, strconv.Itoa(int(p.HostPort)))
	var lc net.ListenConfig
	var got net.Addr
	var h io.Closer
	if p.Proto == spec.ProtoUDP {
		c, err := lc.ListenPacket(ctx, "udp", address)
		if err != nil {
			return nil, err
		}
		h, got = c, c.LocalAddr()
	} else {
		l, err := lc.Listen(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		h, got = l, l.Addr()
	}
	a, err := netip.ParseAddrPort(got.String())
	p.HostPort = a.Port()
	return h, err
}

func explain(p spec.Port, err error) error {
	text := fmt.Sprintf("publish %d/%s", p.HostPort, p.Proto)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return &member.Error{Text: text + ": " + syscall.EADDRINUSE.Error(), Code: member.CodeBusy, Busy: &p}
	case errors.Is(err, syscall.EACCES):
		return problem.Hint(fmt.Errorf("%s: %w", text, syscall.EACCES), "add: --publish %d:%d; or run: %s",
			8000+p.HostPort, p.ContainerPort, remedy.Sysctl("net.ipv4.ip_unprivileged_port_start", strconv.Itoa(int(p.HostPort))))
	}
	return fmt.Errorf("%s: %w", text, err)
}
