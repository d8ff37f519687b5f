package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/health"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/netprog"
	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/cleanup"
	"github.com/nook-containers/nook/pkg/oci"
	"github.com/nook-containers/nook/pkg/oci/external"
	"github.com/nook-containers/nook/pkg/sys"
)

// launch makes the container's init, and lets the command run.
func (e *Engine) launch(ctx context.Context, r *running, cfg oci.Config, o StartOptions, undo *cleanup.Stack) (err error) {
	if r.proc, err = e.create(ctx, r.c, cfg); err != nil {
		return err
	}
	undo.Push("kill the container", func() error { return kill(r.proc) })
	r.streams.started(r.proc.Terminal(), o.Size)
	return r.begin(ctx, o, undo)
}

// prepare waits for the networks, and puts all in place that tells of the command,
// whose process pid is about to be.
func (r *running) prepare(pid int, plugged func(pid int) error, o StartOptions, undo *cleanup.Stack) (err error) {
	if err := plugged(pid); err != nil {
		return err
	}
	if r.listen, err = monitor.Listen(r.c); err != nil {
		return err
	}
	undo.Push("close the socket", r.listen.Close)
	if r.first, err = sys.PidfdOpen(pid); err != nil {
		return err
	}
	undo.Push("forget the process", r.first.Close)
	if err := r.record(pid, o.Again); err != nil {
		return err
	}
	r.run.Cgroup = o.Place.Dir()
	r.run.Initialized, r.run.Ports = o.Hold != nil, o.Nets.ports()
	if health.Test(r.c.Spec.Health, r.c.Image.Health) != nil {
		if err := health.Write(r.c.RunDir(), health.NewChecker(health.Plan{}, r.run.Started).Report()); err != nil {
			return err
		}
	}
	// On disk before the command runs: a container that ran can never look as if
	// it had not.
	return r.c.WriteRun(r.run)
}

// begin lets the command run.
func (r *running) begin(ctx context.Context, o StartOptions, undo *cleanup.Stack) error {
	if err := r.openMounts(undo); err != nil {
		return err
	}
	if err := errors.Join(writePID(o.PIDFile, r.run.PID), writePID(o.Monitor, os.Getpid())); err != nil {
		return err
	}
	events.Tell(r.c, events.Init)
	if o.Hold != nil {
		if err := r.hold(ctx, o); err != nil {
			return err
		}
	}
	return r.command(o)
}

// command lets the command run, and takes what the monitor looks after then.
func (r *running) command(o StartOptions) error {
	switch {
	case o.Again != nil:
		events.Tell(r.c, events.Restart)
	case r.client == nil && !o.Detach, r.client != nil && !r.client.leave:
		events.Tell(r.c, events.Attach)
	}
	if err := o.Commit(); err != nil {
		return err
	}
	if err := r.proc.Start(); err != nil {
		return err
	}
	if err := o.Place.tighten(); err != nil {
		return err
	}
	r.group = o.Place.take()
	r.nets, r.netProgram = o.Nets.take()
	return nil
}

// openMounts gets hold of what tells the processes that the container's first one
// leaves behind from others.
func (r *running) openMounts(undo *cleanup.Stack) (err error) {
	if ocispec.OwnPIDs(r.c.Spec) {
		return nil // they end with it
	}
	if r.mounts, err = os.Open("/proc/" + strconv.Itoa(r.run.PID) + "/ns/mnt"); err != nil {
		return err
	}
	undo.Push("forget the mount namespace", r.mounts.Close)
	return nil
}

func writePID(path string, pid int) error {
	if path == "" {
		return nil
	}
	if err := writeNew(path, []byte(strconv.Itoa(pid)+"\n")); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}

func kill(p oci.Process) error {
	err := p.Kill()
	_, werr := p.Wait()
	return errors.Join(err, werr)
}

// runtimeOf is the path of the OCI runtime that runs c, empty for our own. What holds a
// pod's namespaces is our own alone.
func (e *Engine) runtimeOf(c *state.Container) string {
	if c.Spec.Infra {
		return ""
	}
	return e.Runtime
}

func (e *Engine) create(ctx context.Context, c *state.Container, cfg oci.Config) (oci.Process, error) {
	path := e.runtimeOf(c)
	if path == "" && !inherits(c, cfg.Spec) {
		return oci.Create(ctx, cfg)
	}
	then := cfg.Meanwhile
	cfg.Meanwhile = nil
	var p oci.Process
	var err error
	if path == "" {
		p, err = oci.Create(ctx, cfg)
	} else {
		p, err = external.Create(ctx, path, filepath.Join(e.State.Run, "runtime"), cfg)
	}
	if err != nil {
		return nil, err
	}
	if err := then(p.Pid()); err != nil {
		return nil, errors.Join(err, kill(p))
	}
	return p, nil
}

// inherits reports whether c has networks of its own in a network namespace that was
// there before: its process is in that only when all is set up, and in the host's
// until then.
func inherits(c *state.Container, s *specs.Spec) bool {
	if mode, _ := c.Spec.NetworkMode(); mode != spec.NetworkBridge && !netprog.Of(mode) {
		return false
	}
	return slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.NetworkNamespace && n.Path != ""
	})
}

// record adds what is known of a run as it begins.
func (r *running) record(pid int, again *monitor.Handover) (err error) {
	if r.run.Boot, err = state.BootID(); err != nil {
		return err
	}
	if r.run.PIDStart, err = state.StartTime(pid); err != nil {
		return err
	}
	r.run.PID, r.run.Started = pid, time.Now()
	if again != nil {
		r.run.Restarts = again.Restarts
	}
	return nil
}
