// Command inmachine runs the end-to-end scripts in a machine of their own, or one
// command. docs/testing.md says when to use which.
//
//	inmachine payload KIND DIR [RUN]     what a machine needs, as an ordinary user
//	inmachine KIND DIR                   boot, run the scripts of the payload, shut down
//	inmachine KIND DIR COMMAND [ARG...]  boot, run one command, shut down; its status
//
// KIND is sandbox (needs root) or vm.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/nook-containers/nook/test/machine"
	"github.com/nook-containers/nook/test/sandbox"
	"github.com/nook-containers/nook/test/vm"
)

// limit bounds a whole run, so that it can never hang.
const limit = 40 * time.Minute

func main() {
	runtime.LockOSThread() // a machine dies with the thread that started it
	if os.Args[0] == sandbox.InitName {
		fail(sandbox.Init())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %v", limit))
	defer cancel()
	args := os.Args[1:]
	if len(args) > 2 && args[0] == "payload" {
		run := ""
		if len(args) > 3 {
			run = args[3]
		}
		fail(machine.WritePayload(ctx, args[2], args[1], run, "bin/nook"))
		return
	}
	if len(args) < 2 {
		fail(errors.New("usage: inmachine payload KIND DIR [RUN] | inmachine KIND DIR [COMMAND...]"))
	}
	dir, err := filepath.Abs(args[1])
	fail(err)
	status, err := inside(ctx, args[0], dir, args[2:])
	fail(err)
	os.Exit(status)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "inmachine:", err)
		os.Exit(125)
	}
}

func boot(ctx context.Context, kind, payload string) (machine.Machine, error) {
	switch kind {
	case machine.Sandbox:
		return sandbox.Boot(ctx, payload)
	case machine.VM:
		return vm.Boot(ctx, payload)
	}
	return nil, fmt.Errorf("no machine is a %q", kind)
}

// inside boots a machine, uses it and closes it, whatever happened.
func inside(ctx context.Context, kind, payload string, args []string) (int, error) {
	start := time.Now()
	m, err := boot(ctx, kind, payload)
	if err != nil {
		return 0, fmt.Errorf("boot %s: %w", kind, err)
	}
	status := 0
	if len(args) > 0 {
		status, err = m.Run(ctx, machine.Command{Args: args, Out: os.Stdout, Err: os.Stderr})
	} else {
		fmt.Printf("%s: booted in %.1fs\n", kind, time.Since(start).Seconds())
		err = machine.Test(ctx, m, kind, payload, os.Stdout)
	}
	if err == nil {
		return status, m.Close()
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	err = fmt.Errorf("%w\nthe console's end:\n%s", err, machine.Tail(m.Console()))
	return status, errors.Join(err, m.Close())
}
