// Command nook runs OCI containers for one ordinary user, without root and
// without a daemon.
package main

import (
	"context"
	"errors"
	"fmt"
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
	if os.Args[0] == member.Name {
		return runNet(context.Background())
	}
	restart := os.Args[0] == monitor.RestartName && len(os.Args) == 2
	inside := os.Args[0] == launch.EngineName || os.Args[0] == launch.LaunchName || restart
	if inside && !restart {
		switch err := userns.Ready(); {
		case errors.Is(err, userns.ErrAbandoned):
			return cmdutil.ExitFailure // who started this is gone, and with it who would listen
		case err != nil:
			fmt.Fprintln(os.Stderr, "Error:", err)
			return cmdutil.ExitFailure
		}
	}
	if inside {
		_ = sys.SetProcessName("nook") // else it is called "exe" in the user's top(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop() // os.Exit skips defers, hence the separate function
	f := &cmdutil.Factory{
		Streams: cmdutil.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr},
		Version: version,
		Paths:   config.Load,
		Args:    os.Args[1:],
		Environ: config.Environ(),
		Inside:  inside,
	}
	if restart {
		return root.Status(f, container.Again(ctx, f, os.Args[1]))
	}
	if os.Args[0] == launch.LaunchName {
		status := root.Status(f, container.Serve(ctx, f))
		linger(ctx, f)
		return status
	}
	if os.Args[0] == launch.SessionName {
		return root.Status(f, container.ServeExec(ctx, f))
	}
	if os.Args[0] == monitor.ProbeName {
		return root.Status(f, container.ServeProbe(ctx, f))
	}
	return root.Main(ctx, f)
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
