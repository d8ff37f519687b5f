package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/cgroups"
	"github.com/nook-containers/nook/pkg/cleanup"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/logs"
	"github.com/nook-containers/nook/pkg/oci"
	"github.com/nook-containers/nook/pkg/oci/seed"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/userns"
)

// StartOptions say how to start a container.
type StartOptions struct {
	Size    attach.Size
	PIDFile string         // absolute; gets the pid of the first process
	Monitor string         // absolute; gets the pid of the process that looks after it
	Filter  Filter         // of the system calls; zero: made when it is needed
	Streams [3]*os.File    // of a container whose log driver passes them through
	Extra   []*os.File     // become descriptors 3 and up of the container
	Sockets config.Sockets // the first of Extra, that a service manager opened
	Seed    *seed.Seed     // an init in the container's namespaces; nil: made when it is needed
	Place   *Placement     // its control group; nil: none
	Nets    *Nets          // its networks, being started; nil: none
	Groups  *FoundGroups   // Cgroups.Found, for who makes Place; nil: found out when it is needed
	// Commit is called before the command runs; its error is that it must not. From then
	// on nothing ends it but signals of its own.
	Commit  func() error
	Started func()            // called once the command runs
	Ended   func(attach.Exit) // called if the command never ran
	Control *os.File          // what conn reads and writes
	Detach  bool              // the client leaves when the command runs
	Infra   StartInfra        // nil: it must run
	Hold    *attach.Conn      // to be told when all but the command runs, which waits for another client; nil: it runs at once
	Resume  json.RawMessage   // for the monitor, should it start the container again
	Again   *monitor.Handover // it does; nil: a user does
	Secrets map[string][]byte // by name, those that only the user's session could read
}

// running is a container whose command executes.
type running struct {
	c       *state.Container
	proc    oci.Process
	first   *os.File // pidfd of proc
	streams streams
	run     state.Run
	root    *store.RootFS
	listen  *os.File // for clients to come
	mounts  *os.File // mount namespace; nil: all its processes end with the first
	group   *cgroups.Group
	nets    []*monitor.Net
	// netProgram carries the network in place of nets; nil: none does.
	netProgram *monitor.Program
	client     *starter // for whom a container that was held is started
}

// start runs c, which this process holds, up to the execve of its command. What
// it set up is undone if it fails.
func (e *Engine) start(ctx context.Context, c *state.Container, o StartOptions) (_ *running, err error) {
	var undo cleanup.Stack
	defer undo.RunOnError(&err)
	joined, err := e.join(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer joined.close()
	undo.Push("leave the networks", o.Nets.Close)
	mounted := e.startRootFS(c)
	view, plugged, err := e.enterNetworks(ctx, c, o)
	root, rerr := mounted()
	if rerr == nil {
		undo.Push("give the root file system back", root.Close)
	}
	if err := errors.Join(err, rerr); err != nil {
		return nil, err
	}
	dir, err := bundle(c)
	if err != nil {
		return nil, err
	}
	ociSpec, mounts, err := e.specAndMounts(ctx, place{c: c, root: root, dir: dir, joined: joined, net: view}, o)
	if err != nil {
		return nil, err
	}
	defer mounts.close()
	filter, err := o.Filter.wait(c.Spec, e.runtimeOf(c))
	if err != nil {
		return nil, err
	}
	ociSpec.Linux.Seccomp = filter.spec
	st, err := openStreams(c, o)
	if err != nil {
		return nil, err
	}
	r := &running{c: c, root: root, streams: st, run: state.Run{Runtime: e.runtimeOf(c), EffectiveCaps: effectiveCaps(ociSpec)}}
	undo.Push("close the streams", r.streams.close)
	if err := o.Place.Wait(c.Spec); err != nil {
		return nil, err
	}
	undo.Push("remove the control group", o.Place.Abandon)
	cfg := oci.Config{
		ID: c.ID, Spec: ociSpec, Bundle: dir, Root: root.Mount, Trees: mounts.trees,
		Stdin: st.child[0], Stdout: st.child[1], Stderr: st.child[2],
		Filter: filter.program, ExtraFiles: o.Extra, KillWithParent: true, Reaper: c.Spec.Init, Pause: c.Spec.Infra,
		KeepGroups: c.Spec.Session.KeepGroups || !userns.CanSetGroups(), Seed: o.Seed, Cgroup: o.Place.home(o.Seed),
	}
	record := newExecRecord(cfg, c.Spec, o.Place)
	ociSpec.Process.Env = listens(ociSpec.Process.Env, o.Sockets) // which are nothing to commands that join
	cfg.Meanwhile = func(pid int) error {
		return errors.Join(record.write(dir), r.prepare(pid, plugged, o, &undo))
	}
	return r, e.launch(ctx, r, cfg, o, &undo)
}

// enterNetworks gets c addresses in its networks, and begins to plug it in; plugged
// waits for that, once its first process is known.
func (e *Engine) enterNetworks(ctx context.Context, c *state.Container, o StartOptions) (view netView, plugged func(pid int) error, err error) {
	if err := o.Nets.lease(ctx, c); err != nil {
		return view, nil, err
	}
	view, err = e.netView(c, o.Nets)
	return view, o.Nets.plugIn(ctx, c, o.Seed.PID()), err
}

// openStreams makes the streams of c, whose log can be written.
func openStreams(c *state.Container, o StartOptions) (streams, error) {
	if err := tryLog(c); err != nil {
		return streams{}, err
	}
	st, err := newStreams(c.Spec)
	if logs.PassesThrough(c.Spec.Log.Driver) {
		st.child = o.Streams
	}
	return st, err
}

// tryLog finds out whether the log can be written while an error can still be told.
func tryLog(c *state.Container) error {
	cfg, err := monitor.LogConfig(c)
	if err != nil {
		return err
	}
	w, err := logs.Open(cfg)
	if err != nil {
		return err
	}
	return w.Close()
}

// layerDir is where the files are that c writes, if it keeps them itself.
func layerDir(c *state.Container) string { return filepath.Join(c.Dir(), "root") }

// startRootFS begins what rootFS does, while addresses are found. What it returns
// waits for that.
func (e *Engine) startRootFS(c *state.Container) (wait func() (*store.RootFS, error)) {
	if len(c.Spec.Networks) == 0 {
		return func() (*store.RootFS, error) { return e.rootFS(c) } // there is nothing to do meanwhile
	}
	var root *store.RootFS
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		root, err = e.rootFS(c)
	}()
	return func() (*store.RootFS, error) {
		<-done
		return root, err
	}
}

func (e *Engine) rootFS(c *state.Container) (*store.RootFS, error) {
	if c.Spec.Infra {
		return emptyRoot(c.Spec.UserNS)
	}
	if c.Spec.RootFS == "" {
		root, err := e.layers(c)
		if err == nil && root.Notice != "" {
			e.Notice(root.Notice)
		}
		return root, err
	}
	dir, err := store.BindRoot(c.Spec.RootFS)
	if err != nil {
		return nil, err
	}
	return &store.RootFS{Mount: dir}, nil
}

func (e *Engine) layers(c *state.Container) (*store.RootFS, error) {
	if !c.KeepsLayer() {
		return e.Layers.RootFS(c.ID)
	}
	root, err := e.Layers.OwnRoot(layerDir(c), c.ImageID, c.Ephemeral(), mountedFiles(c.Spec))
	switch {
	case errors.Is(err, store.ErrNotFound): // another tool has removed it
		return nil, problem.Hint(fmt.Errorf("container %s: %w", c.Short(), err), "get its image again: nook pull %s", c.ImageName)
	case err != nil:
		return nil, fmt.Errorf("container %s: %w", c.Short(), err)
	}
	return root, nil
}

// Run starts c, which this process holds, and looks after it until it has ended,
// is on record or removed, and the clients know. conn is the client that asked; with
// Detach it is told that the command runs, and left.
//
// A container that does not end with this command goes on in a smaller process:
// where all went well Run does not return for it.
func (e *Engine) Run(ctx context.Context, c *state.Container, conn *attach.Conn, o StartOptions) {
	r, err := e.start(ctx, c, o)
	if r != nil && r.client != nil {
		conn, o.Ended = r.client.takeOver(&o), r.client.told
	}
	if err != nil {
		exit := Failure(err)
		if errors.Is(err, errNeverStarted) {
			exit.Code = monitor.Killed
		}
		o.Ended(e.failed(c, exit))
		e.bury(c)
		return
	}
	m := r.monitor()
	m.Heed()
	events.Tell(c, events.Start)
	if conn != nil {
		_ = conn.WriteJSON(attach.Started, attach.Start{ID: c.ID, PID: r.run.PID}) // a client that is gone is the monitor's matter
	}
	o.Started()
	m.Resume, m.Free = o.Resume, r.root.Close
	if c.Spec.Remove { // nobody starts it again, who would need the same files
		m.Free = r.root.Release
	}
	if o.Again != nil {
		m.Pause = o.Again.Pause
	}
	if o.Detach {
		o.Control.Close()
	} else {
		m.Owner = o.Control
	}
	if e.runtimeOf(c) == "" && (o.Detach || !c.Ephemeral()) {
		m.AwaitCalm()
		if err = errors.Join(userns.KeepOnExec(), m.Become(r.root.Kept()...)); err != nil {
			e.Notice(err.Error()) // then this process does it
		}
	}
	m.Serve(context.WithoutCancel(ctx))
	r.root.Mount.Close()
	e.bury(c)
}

// bury deletes what is left of a container that is out of sight, and lets go of
// any other. Nobody waits for this: if this process dies here the next one sweeps.
func (e *Engine) bury(c *state.Container) {
	if c.Spec.Remove {
		_ = c.Empty(e.forget)
	}
	c.Release()
}

// CannotStart puts it on record that a restart came to nothing, and returns why.
func (e *Engine) CannotStart(c *state.Container, err error) error {
	e.failed(c, Failure(err))
	return err
}

// failed puts a start that did not work on disk, or the container out of sight.
func (e *Engine) failed(c *state.Container, exit attach.Exit) attach.Exit {
	var err error
	if c.Spec.Remove {
		err = errors.Join(c.Hide(), volume.HideOwn(e.State, c.ID))
	} else {
		now := time.Now()
		run := state.Run{Started: now, Finished: now, ExitCode: exit.Code, Error: exit.Error}
		if run.Boot, err = state.BootID(); err == nil {
			err = c.WriteRun(run)
		}
		c.Release()
	}
	if err != nil && exit.Error == "" {
		exit.Error = err.Error()
	}
	return exit
}

// monitor is r with what it needs from now on.
func (r *running) monitor() *monitor.Monitor {
	m := &monitor.Monitor{
		Container: r.c, Run: r.run, First: r.first, Mounts: r.mounts, Listen: r.listen, Wait: r.proc.Wait,
		Group: r.group, Nets: r.nets, NetProgram: r.netProgram,
		Terminal: r.streams.master, Stdin: r.streams.mine[0], Stdout: r.streams.mine[1], Stderr: r.streams.mine[2],
		StopGrace: grace(r.c),
	}
	// An image's may be none that exists; then SIGKILL alone ends the container.
	m.StopSignal, _ = sys.ParseSignal(spec.StopSignal(r.c.Spec, r.c.Image))
	return m
}
