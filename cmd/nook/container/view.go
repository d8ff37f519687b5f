package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/launch"
	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/ocispec"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/pack"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/term"
)

type requestCall = container.Request

// view is how the outer half shows a container that it had started.
type view struct {
	keys     string
	sigProxy bool
	tty      bool     // the container has a terminal
	stdin    bool     // it gets the user's input
	only     []string // streams to show; none: all
}

func (v *view) addView(f *pflag.FlagSet) {
	f.StringVar(&v.keys, "detach-keys", attach.DefaultDetachKeys, "keys that leave the container running; empty for none")
	f.BoolVar(&v.sigProxy, "sig-proxy", true, "pass signals on to the container")
}

// handed returns the descriptors that c is to have when it starts: those that a service
// manager opened, and those of --preserve-fds behind them.
func handed(c spec.Container) ([]*os.File, config.Sockets, error) {
	sockets, err := config.HandedDown()
	if err != nil || sockets.Count == 0 && c.PreserveFDs == 0 {
		return nil, sockets, err
	}
	if p := c.Restart.Policy; p != spec.RestartNo {
		return nil, sockets, problem.Hint(fmt.Errorf("--restart %s: descriptors are passed on to one run alone", p), "leave restarts to who opens them: Restart= of its unit")
	}
	if sockets.Count > 0 && (c.Init || !ocispec.OwnPIDs(c)) {
		return nil, sockets, problem.Hint(errors.New("--init, --pid: the command is not process 1, and would not take the sockets that are passed on"),
			"leave them out, or unset LISTEN_FDS")
	}
	theirs, err := inherited(firstPreserved, sockets.Count)
	if err != nil {
		return nil, sockets, fmt.Errorf("$LISTEN_FDS %d: %w", sockets.Count, err)
	}
	files, err := preserved(c.PreserveFDs, firstPreserved+sockets.Count)
	return append(theirs, files...), sockets, err
}

// firstPreserved is the first descriptor after the standard streams.
const firstPreserved = 3

// preserved returns n descriptors from first on, which must be open.
func preserved(n, first int) ([]*os.File, error) {
	if n < 0 {
		return nil, fmt.Errorf("--preserve-fds %d: must not be negative", n)
	}
	files, err := inherited(first, n)
	if err != nil {
		return nil, problem.Hint(fmt.Errorf("--preserve-fds %d: %w", n, err), "open it first: %d<FILE", first+len(files))
	}
	return files, nil
}

// inherited returns n descriptors from first on; with an error, those before the one
// that is not open.
func inherited(first, n int) (files []*os.File, err error) {
	for fd := first; fd < first+n; fd++ {
		f, err := sys.Inherited(fd)
		if err != nil {
			return files, fmt.Errorf("descriptor %d is not open", fd)
		}
		files = append(files, f)
	}
	return files, nil
}

// show starts the inner half with c and the descriptors extra, and copies between
// the container and the user until one of them leaves.
func (v *view) show(ctx context.Context, f *cmdutil.Factory, c call, extra []*os.File) error {
	if _, err := attach.ParseKeys(v.keys); err != nil {
		return err
	}
	if v.tty {
		if s, err := size(f); err == nil {
			c.setSize(s)
		}
	}
	engine, conn, err := c.ask(ctx, f, extra)
	if err != nil {
		return err
	}
	defer conn.Close()
	return v.watch(f, conn, func() { _ = engine.Process.Signal(monitor.GiveUp) }) // it may have ended
}

// watch copies between a container and the user until one of them leaves. giveUp
// asks for a command that does not run yet not to.
func (v *view) watch(f *cmdutil.Factory, conn *attach.Conn, giveUp func()) error {
	keys, err := attach.ParseKeys(v.keys)
	if err != nil {
		return err
	}
	// A write to a closed pipe must fail, not kill: the container is told instead.
	signal.Ignore(syscall.SIGPIPE)
	started, restore := make(chan struct{}), func() {}
	forward, stop := v.signals(giveUp, started)
	client := &attach.Client{Out: f.Out, Err: f.Err, Size: func() (attach.Size, error) { return size(f) }, Signals: forward}
	if v.shows("stdin") && v.stdin {
		client.In = f.In
	}
	if !v.shows("stdout") {
		client.Out = io.Discard
	}
	if !v.shows("stderr") && !v.tty {
		client.Err = io.Discard
	}
	if v.tty {
		client.Keys = keys
	}
	client.Started = func(attach.Start) (err error) {
		defer close(started)
		if v.tty && client.In != nil && term.IsTerminal(f.In) {
			restore, err = term.MakeRaw(f.In)
		}
		return err
	}
	done := make(chan error, 1)
	go func() {
		exit, err := client.Run(conn)
		nameHolder(f, &exit)
		done <- outcome(exit, err)
	}()
	defer func() { restore() }()
	select {
	case err := <-done:
		return err
	case sig := <-stop: // the container goes on
		return &cmdutil.ExitError{Code: 128 + int(sig)}
	}
}

func (v *view) shows(stream string) bool { return len(v.only) == 0 || slices.Contains(v.only, stream) }

func size(f *cmdutil.Factory) (attach.Size, error) {
	rows, cols, err := term.Size(f.In)
	return attach.Size{Rows: rows, Cols: cols}, err
}

// background starts the inner half with c and returns the container's id as soon
// as its command runs.
func background(ctx context.Context, f *cmdutil.Factory, c call, extra []*os.File) (id string, err error) {
	c.Detach = true
	engine, conn, err := c.ask(ctx, f, extra)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	(&view{}).signals(func() { _ = engine.Process.Signal(monitor.GiveUp) }, nil)
	return awaitStarted(f, conn)
}

// ask starts the inner half, with the descriptors extra, and tells it c.
func (c *call) ask(ctx context.Context, f *cmdutil.Factory, extra []*os.File) (*launch.Engine, *attach.Conn, error) {
	c.Globals = f.Globals
	var birth launch.Birth
	if c.Request != nil && c.Request.Run {
		c.Request.ID = container.NewID()
		if c.Globals.Runtime == "" {
			birth.Clone = container.SeedFlags(c.Request.Spec)
			birth.Group = container.SeedGroup(c.Request.Spec, c.Request.ID)
		}
	}
	request, err := pack.Marshal(c) // while it is being started
	if err != nil {
		return nil, nil, err
	}
	engine, err := f.Launch(ctx, extra)
	if err != nil {
		return nil, nil, err
	}
	conn := attach.New(engine.Control)
	if err := launch.Ask(conn, birth, request); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("talk to the engine: %w", err), conn.Close())
	}
	return engine, conn, nil
}

// awaitStarted waits until the command of a container runs, and returns its id.
func awaitStarted(f *cmdutil.Factory, conn *attach.Conn) (id string, err error) {
	runs := errors.New("it runs")
	client := &attach.Client{Out: f.Out, Err: f.Err, Started: func(s attach.Start) error {
		id = s.ID
		return runs
	}}
	exit, err := client.Run(conn)
	if errors.Is(err, runs) {
		return id, nil
	}
	nameHolder(f, &exit)
	return "", outcome(exit, err)
}

func (c *call) setSize(s attach.Size) {
	if c.Request != nil {
		c.Request.Size = s
	} else {
		c.Start.Size = s
	}
}

// outcome turns the end of a session into the command's.
func outcome(exit attach.Exit, err error) error {
	switch {
	case errors.Is(err, attach.ErrDetached):
		return nil
	case err != nil:
		return err
	case exit.Error != "":
		failure := errors.New(exit.Error)
		if exit.Hint != "" {
			failure = problem.Hint(failure, "%s", exit.Hint)
		}
		return &cmdutil.ExitError{Code: exit.Code, Err: failure}
	case exit.Code != 0:
		return &cmdutil.ExitError{Code: exit.Code}
	}
	return nil
}

// signals returns the signals for the container. Those that come before started is
// closed wait for that; one that asks a program to end also has the engine give up,
// so that a pull is cancelled and nothing is left behind. Whether that came in time
// the engine knows: either the command never runs, or the signal is the command's.
// stop gets those that end this process alone, because --sig-proxy=false keeps them
// from the container. Signals that are hardly ever sent are caught once the command
// runs, or takes its time: till then they end this process, as by default.
func (v *view) signals(giveUp func(), started <-chan struct{}) (forward <-chan os.Signal, stop <-chan syscall.Signal) {
	in, out, end := make(chan os.Signal, 16), make(chan os.Signal), make(chan syscall.Signal, 1)
	v.notify(in, soon)
	pass := func(s os.Signal) {
		sig, ok := s.(syscall.Signal)
		switch {
		case !ok:
		case v.forwards(sig):
			out <- s
		default:
			end <- sig
		}
	}
	go func() {
		var early []os.Signal
		quiet := time.After(50 * time.Millisecond)
		for runs := false; !runs; {
			select {
			case <-quiet: // something takes long, as a pull does
				v.notify(in, func(n syscall.Signal) bool { return !soon(n) })
			case s := <-in:
				early = append(early, s)
				if sig, ok := s.(syscall.Signal); ok && ends(sig) {
					giveUp()
				}
			case <-started:
				runs = true
			}
		}
		for _, s := range early {
			pass(s)
		}
		v.notify(in, func(n syscall.Signal) bool { return !soon(n) })
		for s := range in {
			pass(s)
		}
	}()
	return out, end
}

// notify has those of which come to in that are for the container, or end this
// process. Each costs the Go runtime two changes of threads.
func (v *view) notify(in chan<- os.Signal, which func(syscall.Signal) bool) {
	for n := syscall.Signal(1); n < 65; n++ {
		if which(n) && (v.forwards(n) || ends(n)) {
			signal.Notify(in, n)
		}
	}
}

// soon reports whether n is one that people and scripts send.
func soon(n syscall.Signal) bool {
	return ends(n) || n == syscall.SIGUSR1 || n == syscall.SIGUSR2 || n == syscall.SIGWINCH
}

// ends reports whether n asks a program to end.
func ends(n syscall.Signal) bool {
	return n == syscall.SIGINT || n == syscall.SIGTERM || n == syscall.SIGHUP || n == syscall.SIGQUIT
}

// forwards leaves out what the kernel or the Go runtime sends for its own
// reasons, and what stops and continues a job.
func (v *view) forwards(n syscall.Signal) bool {
	switch n {
	case syscall.SIGWINCH:
		return v.tty
	case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGPIPE, syscall.SIGURG,
		syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGCONT,
		syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGPROF, syscall.SIGABRT:
		return false
	case 32, 33, 34: // the C library's
		return false
	default:
		return v.sigProxy
	}
}
