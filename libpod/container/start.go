package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/cleanup"
	"github.com/nook-containers/nook/pkg/oci"
	"github.com/nook-containers/nook/pkg/oci/external"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/userns"
)

// StartOptions say how to start a container.
type StartOptions struct {
	Size    attach.Size
	PIDFile string            // absolute; gets the pid of the first process
	Filter  Filter            // of the system calls; zero: made when it is needed
	Extra   []*os.File        // become descriptors 3 and up of the container
	Seed    *oci.Seed         // an init in the container's namespaces; nil: made when it is needed
	Started func()            // called once the command runs
	Ended   func(attach.Exit) // called once nothing more of the container is to be seen
}

// running is a container whose command executes.
type running struct {
	c       *state.Container
	proc    oci.Process
	first   *os.File // pidfd of proc
	streams streams
	run     state.Run
	root    *store.RootFS
}

// start runs c, which this process holds, up to the execve of its command. What
// it set up is undone if it fails.
func (e *Engine) start(ctx context.Context, c *state.Container, o StartOptions) (_ *running, err error) {
	var undo cleanup.Stack
	defer undo.RunOnError(&err)
	root, err := e.rootFS(c)
	if err != nil {
		return nil, err
	}
	undo.Push("give the root file system back", root.Close)
	dir, err := bundle(c)
	if err != nil {
		return nil, err
	}
	ociSpec, mounts, err := e.specAndMounts(ctx, place{c, root, dir}, o)
	if err != nil {
		return nil, err
	}
	defer mounts.close()
	filter, err := o.Filter.wait(c.Spec)
	if err != nil {
		return nil, err
	}
	ociSpec.Linux.Seccomp = filter.spec
	st, err := newStreams(c.Spec)
	if err != nil {
		return nil, err
	}
	undo.Push("close the streams", st.close)
	cfg := oci.Config{
		ID: c.ID, Spec: ociSpec, Bundle: dir, Root: root.Mount, Trees: mounts.trees,
		Stdin: st.child[0], Stdout: st.child[1], Stderr: st.child[2],
		Filter: filter.program, ExtraFiles: o.Extra, KillWithParent: true, Reaper: c.Spec.Init,
		KeepGroups: !userns.CanSetGroups(), Seed: o.Seed,
	}
	proc, err := e.create(ctx, cfg)
	if err != nil {
		return nil, err
	}
	undo.Push("kill the container", func() error { return errors.Join(proc.Kill(), reap(proc)) })
	st.started(proc.Terminal())
	if c.Spec.TTY {
		_ = sys.SetWindowSize(proc.Terminal(), o.Size.Rows, o.Size.Cols) // 0 by 0 is a size too
	}
	r := &running{c: c, proc: proc, streams: st, root: root}
	if r.first, err = sys.PidfdOpen(proc.Pid()); err != nil {
		return nil, err
	}
	undo.Push("forget the process", r.first.Close)
	if r.run, err = newRun(proc.Pid()); err != nil {
		return nil, err
	}
	// On disk before the command runs: a container that ran can never look as if
	// it had not.
	if err := c.WriteRun(r.run); err != nil {
		return nil, err
	}
	if o.PIDFile != "" {
		if err := writeNew(o.PIDFile, []byte(strconv.Itoa(proc.Pid())+"\n")); err != nil {
			return nil, fmt.Errorf("write pid file: %w", err)
		}
	}
	if err := proc.Start(); err != nil {
		return nil, err
	}
	return r, nil
}

func reap(p oci.Process) error {
	_, err := p.Wait()
	return err
}

func (e *Engine) create(ctx context.Context, cfg oci.Config) (oci.Process, error) {
	if e.Runtime == "" {
		return oci.Create(ctx, cfg)
	}
	return external.Create(ctx, e.Runtime, filepath.Join(e.State.Run, "runtime"), cfg)
}

func (e *Engine) rootFS(c *state.Container) (*store.RootFS, error) {
	if e.scratch(c) {
		dir := filepath.Join(c.Dir(), "root")
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make root file system: %w", err)
		}
		return e.Layers.Scratch(dir, c.ImageID)
	}
	if c.Spec.RootFS == "" {
		root, err := e.Layers.RootFS(c.ID)
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

// buildSpec resolves what depends on the root file system and this host.
func buildSpec(c *state.Container, root *os.File, dir string, o StartOptions) (*specs.Spec, error) {
	in := ocispec.Input{ID: c.ID, Spec: c.Spec, Image: c.Image}
	ids, err := idMaps(c.Spec.UserNS)
	if err != nil {
		return nil, err
	}
	in.UIDs, in.GIDs = ociMap(ids.UIDs), ociMap(ids.GIDs)
	acc, err := readAccounts(root)
	if err != nil {
		return nil, err
	}
	if in.User, err = resolveUser(userOf(c.Spec, in.Image), c.Spec.Groups, acc); err != nil {
		return nil, err
	}
	if in.Host, err = hostFacts(ids.GIDs); err != nil {
		return nil, err
	}
	if in.Files, err = generate(dir, in, acc); err != nil {
		return nil, err
	}
	built, err := ocispec.Build(in)
	if err != nil {
		return nil, err
	}
	if c.Spec.TTY {
		built.Process.ConsoleSize = &specs.Box{Height: uint(o.Size.Rows), Width: uint(o.Size.Cols)}
	}
	return built, nil
}

// userOf is who runs: asked for, else with keep-id the user, else the image's.
func userOf(c spec.Container, img spec.ImageConfig) string {
	switch {
	case c.User != "":
		return c.User
	case c.UserNS.Mode == spec.UserNSKeepID:
		uid, gid := keepIDs(c.UserNS)
		return strconv.FormatUint(uint64(uid), 10) + ":" + strconv.FormatUint(uint64(gid), 10)
	}
	return img.User
}

// hostFacts reads what a spec needs of this host.
func hostFacts(gids []userns.Extent) (ocispec.Host, error) {
	name, err := os.Hostname()
	if err != nil {
		return ocispec.Host{}, err
	}
	if gids == nil {
		shared, err := userns.Current()
		if err != nil {
			return ocispec.Host{}, err
		}
		gids = shared.GIDs
	}
	throttles, err := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle")
	return ocispec.Host{Hostname: name, MaxGID: maxID(gids), Masked: throttles}, err
}

func newRun(pid int) (state.Run, error) {
	boot, err := state.BootID()
	if err != nil {
		return state.Run{}, err
	}
	begun, err := startTime(pid)
	if err != nil {
		return state.Run{}, err
	}
	return state.Run{Boot: boot, PID: pid, PIDStart: begun, Started: time.Now()}, nil
}

// startTime returns field 22 of /proc/PID/stat, clock ticks since boot: with the
// pid it names one process for good (proc_pid_stat(5)).
func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("read the start of process %d: %w", pid, err)
	}
	_, rest, ok := strings.Cut(string(data[strings.LastIndexByte(string(data), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return 0, fmt.Errorf("read the start of process %d: unexpected format", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// Run starts c, which this process holds, serves conn until the container ends,
// records the end, and removes the container if that was asked.
func (e *Engine) Run(ctx context.Context, c *state.Container, conn *attach.Conn, o StartOptions) {
	exit := e.run(ctx, c, conn, o)
	if !c.Spec.Remove {
		c.Release() // who hears of the end may start it again
	}
	o.Ended(exit)
	// Nobody waits for this: who lists containers or takes the name again sees it
	// gone, and if this process dies here the next one sweeps.
	if c.Spec.Remove {
		forget := e.forget
		if e.scratch(c) {
			forget = e.dropOwn // the layer is in its directory
		}
		_ = c.Empty(forget)
	}
	c.Release()
}

func (e *Engine) run(ctx context.Context, c *state.Container, conn *attach.Conn, o StartOptions) attach.Exit {
	r, err := e.start(ctx, c, o)
	if err != nil {
		exit := Failure(err)
		return e.finish(c, state.Run{Started: time.Now(), ExitCode: exit.Code, Error: exit.Error}, exit)
	}
	_ = conn.WriteJSON(attach.Started, attach.Start{ID: c.ID, PID: r.run.PID}) // a client that is gone is Serve's matter
	o.Started()
	session := attach.Serve(conn, r.streams.server(r.first))
	status, err := r.proc.Wait()
	session.Drained()
	exit := attach.Exit{Code: exitCode(status)}
	if err != nil {
		exit = Failure(err)
	}
	r.run.ExitCode, r.run.Error = exit.Code, exit.Error
	if err := errors.Join(r.streams.close(), r.root.Close(), r.first.Close()); err != nil {
		e.Notice(err.Error())
	}
	return e.finish(c, r.run, exit)
}

// finish puts the end of a run on disk, or the container out of sight.
func (e *Engine) finish(c *state.Container, run state.Run, exit attach.Exit) attach.Exit {
	var err error
	if c.Spec.Remove {
		err = c.Hide()
	} else {
		run.Finished = time.Now()
		if run.Boot == "" {
			run.Boot, err = state.BootID()
		}
		err = errors.Join(err, c.WriteRun(run))
	}
	if err != nil && exit.Error == "" {
		exit.Error = err.Error() // the command's own exit code stays
	}
	return exit
}

// exitCode counts as the shell does: 128+n after signal n.
func exitCode(st syscall.WaitStatus) int {
	if st.Signaled() {
		return 128 + int(st.Signal())
	}
	return st.ExitStatus()
}
