package netprog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
	"github.com/nook-containers/nook/pkg/sys"
	backend "github.com/nook-containers/nook/slirp"
	backendpasta "github.com/nook-containers/nook/slirp/pasta"
	"github.com/nook-containers/nook/slirp/slirp4netns"
)

// Descriptors of the program: the container's network namespace, the pipe that hears
// when it is ready, and the directory for its socket.
const netnsFD, readyFD, dirFD = 3, 4, 5

// socketName is where slirp4netns listens for requests, in the directory.
const socketName = "slirp4netns"

func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// patience is how long a program may take until it is ready.
const patience = 30 * time.Second

// Running is a program that carries a network, as long as the thread that started it
// lives.
type Running struct {
	Child *sys.Child  // not waited for
	Ports []spec.Port // each on its own, with the host's ports
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
func Start(ctx context.Context, p Program, dir string, pid int, ports []spec.Port) (_ *Running, err error) {
	path, err := find(p)
	if err != nil {
		return nil, err
	}
	if ports, err = claim(ctx, ports); err != nil {
		return nil, err
	}
	log := filepath.Join(dir, p.name()+".log")
	ns, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	if _, ok := p.(*pasta); ok {
		backendpasta.Prepare(ns)
	}
	ready, proc, err := run(path, append([]string{p.name()}, p.args(ports)...), log, dir, ns)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", p.name(), err)
	}
	defer ready.Close()
	r := &Running{Child: proc, Ports: ports}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if err := await(ctx, ready); err != nil {
		return nil, fmt.Errorf("%s: %w%s", p.name(), err, said(log))
	}
	if s, ok := p.(*slirp); ok {
		if err := s.publish(ctx, dir, ports); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// run starts the program. ready is written to when it is ready, and closed when it
// ends.
func run(path string, args []string, log, dir string, ns *os.File) (ready *os.File, proc *sys.Child, err error) {
	var files []*os.File
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	open := func(name string, flag int) *os.File {
		f, oerr := os.OpenFile(name, flag|syscall.O_NOFOLLOW, 0o600)
		if oerr == nil {
			files = append(files, f)
		}
		err = errors.Join(err, oerr)
		return f
	}
	null, out := open(os.DevNull, os.O_RDONLY), open(log, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	at := open(dir, os.O_RDONLY|syscall.O_DIRECTORY)
	if err != nil {
		return nil, nil, err
	}
	ready, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	files = append(files, w)
	_ = os.Remove(filepath.Join(dir, socketName)) // of a run before
	proc, err = sys.StartChild(path, args, &os.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []*os.File{null, out, out, ns, w, at}, //nolint:forbidigo // handed on unread
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		_ = ready.Close()
	}
	return ready, proc, err
}

// await waits for the program to say that it is ready.
func await(ctx context.Context, ready *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := ready.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := io.ReadFull(ready, make([]byte, 1))
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, io.EOF):
		return errors.New("it ended at once")
	}
	return err
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

// publish asks the running slirp4netns for ports.
func (s *slirp) publish(ctx context.Context, dir string, ports []spec.Port) error {
	if len(ports) == 0 {
		return nil
	}
	at, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer at.Close()
	api := slirp4netns.API{Socket: fdPath(int(at.Fd())) + "/" + socketName} //nolint:gosec // a descriptor
	for _, p := range ports {
		proto := backend.TCP
		if p.Proto == spec.ProtoUDP {
			proto = backend.UDP
		}
		one := backend.Port{Proto: proto, HostIP: ip.Addr(p.HostIP), HostPort: p.HostPort, Guest: []netip.Addr{s.at(slirpGuest)}, GuestPort: p.ContainerPort}
		if _, err := api.Add(ctx, one); err != nil {
			return fmt.Errorf("publish %s: %w", one, err)
		}
	}
	return nil
}
