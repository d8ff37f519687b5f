package slirpbench

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime/pprof"

	"github.com/nook-containers/nook/slirp"
	"github.com/nook-containers/nook/slirp/netstack"
)

const (
	serveVar   = "NOOK_SLIRPBENCH_CONFIG"
	profileVar = "NOOK_SLIRPBENCH_PROFILE"
)

// apart is netstack in a process of its own, as the other backends are: in this
// one, clients and servers would share its goroutines' threads.
type apart struct {
	netstack.Backend
	program string // another build's; by default this one
}

// other is netstack of another build.
type other struct{ apart }

func (other) Name() string { return "against" }

func (a apart) Start(ctx context.Context, link slirp.Link, cfg slirp.Config) (slirp.Network, error) {
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.CommandContext(ctx, cmp.Or(a.program, "/proc/self/exe"))
	// As libpod/netd/member starts a network's process.
	cmd.Env = append(os.Environ(), serveVar+"="+string(text), profileVar+"="+*profile, "GOMAXPROCS=1", "GOMEMLIMIT=256MiB", "GOGC=400")
	cmd.ExtraFiles = append([]*os.File{w}, link.TAP...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w.Close()
	for _, f := range link.TAP {
		f.Close()
	}
	_, err = io.ReadFull(r, make([]byte, 1))
	return running{cmd: cmd}, err
}

// running ends the process.
type running struct {
	slirp.Network
	cmd *exec.Cmd
}

func (r running) Close() error {
	_ = r.cmd.Process.Signal(os.Interrupt)
	return r.cmd.Wait()
}

// serve runs netstack on descriptor 4 until it is interrupted, as package netd
// does: with one processor.
func serve() {
	var cfg slirp.Config
	if err := json.Unmarshal([]byte(os.Getenv(serveVar)), &cfg); err != nil {
		panic(err)
	}
	if p := os.Getenv(profileVar); p != "" {
		f, err := os.Create(p)
		if err != nil {
			panic(err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			panic(err)
		}
	}
	cfg.Egress = func(context.Context, slirp.Flow) slirp.Verdict { return slirp.Allow }
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	n, err := netstack.Backend{}.Start(context.Background(), slirp.Link{TAP: []*os.File{os.NewFile(4, "tap")}}, cfg)
	if err != nil {
		panic(err)
	}
	ready := os.NewFile(3, "ready")
	_, _ = ready.Write([]byte{1})
	<-stop
	_ = n.Close()
	pprof.StopCPUProfile()
	os.Exit(0)
}
