// Command nook runs OCI containers for one ordinary user, without root and
// without a daemon.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.podman.io/storage/pkg/reexec"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/container"
	"github.com/nook-containers/nook/cmd/nook/launch"
	"github.com/nook-containers/nook/cmd/nook/root"
	_ "github.com/nook-containers/nook/cmd/nook/stage"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/userns"
)

// version is set by the linker; see Makefile.
var version = "unknown"

func main() {
	if reexec.Init() { // containers/storage's own helpers, by argv[0]
		return
	}
	os.Exit(run())
}

func run() int {
	switch os.Args[0] {
	case member.Name:
		return runNet(context.Background())
	case launch.LaunchName:
		return serve()
	}
	restart := os.Args[0] == monitor.RestartName && len(os.Args) == 2
	inside := os.Args[0] == launch.EngineName || restart
	if inside {
		if !restart {
			if status := entered(userns.Ready()); status != 0 {
				return status
			}
		}
		_ = sys.SetProcessName("nook") // else it is called "exe" in the user's top(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop() // os.Exit skips defers, hence the separate function
	f := factory(inside)
	if restart {
		return root.Status(f, container.Again(ctx, f, os.Args[1]))
	}
	if os.Args[0] == launch.SessionName {
		return root.Status(f, container.ServeExec(ctx, f))
	}
	if os.Args[0] == monitor.ProbeName {
		return root.Status(f, container.ServeProbe(ctx, f))
	}
	return root.Main(ctx, f)
}

// serve makes and looks after a container.
func serve() int {
	in, err := launch.Enter()
	if errors.Is(err, io.EOF) {
		return 0 // the command line was wrong
	}
	if status := entered(err); status != 0 {
		return status
	}
	f := factory(true)
	status := root.Status(f, container.Serve(context.Background(), f, in))
	linger(context.Background(), f)
	return status
}

// entered is the status to end with after err of entering the user namespace; 0 where
// this process is to go on.
func entered(err error) int {
	switch {
	case errors.Is(err, userns.ErrAbandoned):
		return cmdutil.ExitFailure // who started this is gone, and with it who would listen
	case err != nil:
		fmt.Fprintln(os.Stderr, "Error:", err)
		return cmdutil.ExitFailure
	}
	return 0
}

func factory(inside bool) *cmdutil.Factory {
	return &cmdutil.Factory{
		Streams: cmdutil.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr},
		Version: version,
		Paths:   config.Load,
		Args:    os.Args[1:],
		Environ: config.Environ(),
		Inside:  inside,
	}
}

// lingering is how long the user namespace outlives its last process.
const lingering = time.Second

// linger is the end of a process whose client has been told: the next command finds
// the user namespace made.
func linger(ctx context.Context, f *cmdutil.Factory) {
	f.Silence()
	if p, err := f.Paths(); err == nil && os.Chdir("/") == nil {
		userns.Linger(ctx, p.Run, lingering)
	}
}
