package netprog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/netprog/carrier"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/pkg/sys"
)

func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// Running is a program that carries a network, as long as the thread that started it
// lives.
type Running struct {
	Child *sys.Child   // not waited for
	Plan  carrier.Plan // for the next one, should it die
	Ports []spec.Port  // each on its own, with the host's ports
}

// Close ends the program.
func (r *Running) Close() error {
	_ = r.Child.Kill() // it may have ended
	_, err := r.Child.Wait()
	return err
}

// Start has p carry the network of the container whose first process is pid, with
// ports published, and returns when it does. dir is the container's for this boot. The
// program dies with the calling thread, which the caller has locked, and can pass to
// the next program by execve(2).
func Start(ctx context.Context, p Program, dir string, pid int, ports []spec.Port) (*Running, error) {
	path, err := find(p)
	if err != nil {
		return nil, err
	}
	if ports, err = claim(ctx, ports); err != nil {
		return nil, err
	}
	plan := carrier.Plan{Path: path, Args: append([]string{p.name()}, p.args(ports)...), Dir: dir, PID: pid}
	switch p := p.(type) {
	case *pasta:
		plan.SkipDAD = true
	case *slirp:
		if plan.Requests, err = p.publish(ports); err != nil {
			return nil, err
		}
	}
	r := &Running{Plan: plan, Ports: ports}
	r.Child, err = plan.Start(ctx)
	if _, ok := errors.AsType[*carrier.EndedError](err); ok {
		err = fmt.Errorf("%w%s", err, said(plan.Log()))
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// said is what the program wrote, for an error: the last lines, but those of its help.
func said(log string) string {
	data, _ := os.ReadFile(log) // then nothing is known
	return digest(string(data))
}

func digest(text string) string {
	const last = 5
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "Usage:") {
			break
		}
		// What old versions of pasta say of a system without a log.
		if line != "" && !strings.HasPrefix(line, "Failed to send ") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return ": " + strings.Join(lines[max(0, len(lines)-last):], "; ")
}

// publish asks for ports (slirp4netns(1), "add_hostfwd").
func (s *slirp) publish(ports []spec.Port) ([]carrier.Request, error) {
	type arguments struct {
		Proto     string `json:"proto"`
		HostAddr  string `json:"host_addr"`
		HostPort  uint16 `json:"host_port"`
		GuestAddr string `json:"guest_addr"`
		GuestPort uint16 `json:"guest_port"`
	}
	var out []carrier.Request
	for _, p := range ports {
		a := arguments{p.Proto, "0.0.0.0", p.HostPort, s.at(slirpGuest).String(), p.ContainerPort}
		if p.HostIP != "" {
			a.HostAddr = ip.Addr(p.HostIP).String()
		}
		text, err := json.Marshal(map[string]any{"execute": "add_hostfwd", "arguments": a})
		if err != nil {
			return nil, err
		}
		out = append(out, carrier.Request{What: fmt.Sprintf("publish %d/%s", p.HostPort, p.Proto), JSON: text})
	}
	return out, nil
}
