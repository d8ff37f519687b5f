package container

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/launch"
	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/image"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/logs"
	"github.com/nook-containers/nook/pkg/oci/seed"
	"github.com/nook-containers/nook/pkg/pack"
	"github.com/nook-containers/nook/pkg/sys"
)

// Serve is the inner half: it does what the Open frame asks and reports the end in
// the Exited frame.
func Serve(ctx context.Context, f *cmdutil.Factory, in *launch.Inside) error {
	groups, conn := container.FindGroups(ctx, in.Groups, cmdutil.Managers), in.Conn
	defer groups.Close()
	t, payload, err := conn.Read()
	if err != nil || t != attach.Open {
		return fmt.Errorf("read the request: frame type %d: %w", t, err)
	}
	var c call
	if err := pack.Unmarshal(payload, &c); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	f.Globals, c.groups = c.Globals, groups
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, monitor.GiveUp)
	defer stop()
	// The outer half may be gone: then nobody is told.
	ended := func(exit attach.Exit) {
		f.Silence() // the outer half's streams must not stay open behind it
		_ = conn.WriteJSON(attach.Exited, exit)
	}
	if err := c.serve(ctx, f, in, ended); err != nil {
		ended(container.Failure(err))
	}
	_ = conn.Close() // the monitor, or the client, may have done so
	return nil
}

// serve does what needs no container while its init is being started.
func (c call) serve(ctx context.Context, f *cmdutil.Factory, in *launch.Inside, ended func(attach.Exit)) error {
	f.FindsImages = c.Request != nil && image.IsShort(c.Request.Spec.Image)
	e, closeEngine, err := f.Engine()
	return in.Continue(func(s *seed.Seed) error {
		defer s.Close()
		if err != nil {
			return err
		}
		defer closeEngine()
		c.seed = s
		return c.do(ctx, f, e, in, ended)
	})
}

// commit is for StartOptions. A client that gives up later is not heard, and finds
// that the command runs.
func commit(ctx context.Context) func() error {
	return func() error {
		signal.Ignore(monitor.GiveUp)
		return context.Cause(ctx)
	}
}

// do reports the end through ended, or returns why there was no beginning.
func (c call) do(ctx context.Context, f *cmdutil.Factory, e *container.Engine, in *launch.Inside, ended func(attach.Exit)) (err error) {
	o := container.StartOptions{Commit: commit(ctx), Started: f.Silence, Ended: ended, Control: in.Control, Groups: c.groups, Detach: c.Detach, Secrets: c.Secrets, Infra: infra(f)}
	if o.Resume, err = json.Marshal(resume{f.Globals, c.Secrets}); err != nil {
		return err
	}
	if c.Request != nil && c.Request.Run {
		o.Seed, o.Filter = c.seed, container.StartFilter(c.Request.Spec, e.Runtime)
		done, err := prepare(ctx, f, c.Request.ID, c.Request.Spec, &o)
		if err != nil {
			return err
		}
		defer done()
	}
	var cont *state.Container
	if c.Start != nil {
		o.Size = c.Start.Size
		if c.Start.Init {
			o.Hold = in.Conn
		}
		var done func()
		if cont, done, err = c.Start.take(ctx, f, e, &o); err == nil {
			defer done()
		}
	} else {
		o.Size, o.PIDFile, o.Monitor = c.Request.Size, c.Request.PIDFile, c.Request.Monitor
		c.Request.Pull.Progress, c.Request.Pull.Helper = f.Err, f.CredentialHelper()
		cont, err = e.Create(ctx, *c.Request)
	}
	if err != nil {
		return err
	}
	if c.Request != nil && !c.Request.Run {
		cont.Release()
		ended(attach.Exit{ID: cont.ID})
		return nil
	}
	o.Sockets = c.Sockets
	if err := adoptExtra(cont.Spec, &o); err != nil {
		return err
	}
	e.Run(ctx, cont, in.Conn, o)
	return nil
}

// adoptExtra takes the descriptors that the outer half gave to the container.
func adoptExtra(c spec.Container, o *container.StartOptions) error {
	next := launch.FirstFD
	if logs.PassesThrough(c.Log.Driver) {
		for i := range o.Streams {
			var err error
			if o.Streams[i], err = sys.Adopt(next, "stream"); err != nil {
				return err
			}
			next++
		}
	}
	for range o.Sockets.Count + c.PreserveFDs {
		fd, err := sys.Adopt(next, "preserved descriptor")
		if err != nil {
			return err
		}
		o.Extra = append(o.Extra, fd)
		next++
	}
	return nil
}

// take holds the container, and prepares its start.
func (s *startCall) take(ctx context.Context, f *cmdutil.Factory, e *container.Engine, o *container.StartOptions) (c *state.Container, done func(), err error) {
	if c, err = e.State.Lookup(s.Name); err != nil {
		return nil, nil, err
	}
	if err := c.Hold(); err != nil {
		return nil, nil, err
	}
	if err := monitor.ClearStopped(c); err != nil {
		return nil, nil, err
	}
	done, err = prepare(ctx, f, c.ID, c.Spec, o)
	return c, done, err
}

// prepare starts what a container needs and what depends on its request alone: its
// control group, and the first process in its namespaces, unless o.Seed is one. What c must not run
// without is there when prepare returns, before anything else is made; done drops
// what was not used.
func prepare(ctx context.Context, f *cmdutil.Factory, id string, c spec.Container, o *container.StartOptions) (done func(), err error) {
	opts, err := f.Cgroups()
	if err != nil {
		return nil, err
	}
	opts.Found = o.Groups
	place, err := container.Place(ctx, c, id, opts)
	if err != nil {
		return nil, err
	}
	done = func() {
		_ = place.Abandon() // a group that stays is swept by the next container
		_ = o.Nets.Close()
		o.Seed.Close()
	}
	o.Place = place
	if f.Globals.Runtime == "" {
		o.Seed = container.Sow(c, place, o.Seed)
	}
	st, err := f.State()
	if err != nil {
		done()
		return nil, err
	}
	o.Nets = container.Warm(st, c)
	place.Begin(ctx, o.Seed.PID())
	if place.Wanted(c) {
		if err := place.Wait(c); err != nil {
			done()
			return nil, err
		}
	}
	return done, nil
}

// resume is what a monitor keeps in memory to start the container again.
type resume struct {
	Globals cmdutil.Globals   `json:"globals"`
	Secrets map[string][]byte `json:"secrets,omitempty"`
}

// Again starts a container whose monitor has become this program, by its restart
// policy. arg is what monitor.TakeOver reads. Nobody listens: what goes wrong is in
// the container's record.
func Again(ctx context.Context, f *cmdutil.Factory, arg string) error {
	h, c, err := monitor.TakeOver(arg)
	if err != nil {
		return err
	}
	defer c.Release()
	var r resume
	if err := json.Unmarshal(h.Resume, &r); err != nil {
		return err
	}
	f.Globals = r.Globals
	e, closeEngine, err := f.Engine()
	if err != nil {
		return err
	}
	defer closeEngine()
	o := container.StartOptions{
		Commit: commit(ctx), Started: f.Silence, Ended: func(attach.Exit) {}, Detach: true, Resume: h.Resume, Again: h, Secrets: r.Secrets, Infra: infra(f),
	}
	done, err := prepare(ctx, f, c.ID, c.Spec, &o)
	if err != nil {
		return e.CannotStart(c, err)
	}
	defer done()
	e.Run(ctx, c, nil, o)
	return nil
}
