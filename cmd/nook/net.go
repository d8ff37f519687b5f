package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/netd"
	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/userns"
)

// runNet is the process of a network; package member starts it. What it writes to
// standard error is its log.
func runNet(ctx context.Context) int {
	switch err := userns.Ready(); {
	case errors.Is(err, userns.ErrAbandoned):
		return cmdutil.ExitFailure // with it the clients are gone, or start another
	case err != nil:
		fmt.Fprintln(os.Stderr, "Error:", err)
		return cmdutil.ExitFailure
	}
	_ = sys.SetProcessName(member.Name) // a name is all it is
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	err := serveNet(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		return cmdutil.ExitFailure
	}
	return 0
}

func serveNet(ctx context.Context) error {
	if len(os.Args) != 2 {
		return errors.New("want a directory")
	}
	if err := syscall.SetNonblock(member.ListenFD, true); err != nil {
		return err
	}
	l, err := sys.Adopt(member.ListenFD, "socket")
	if err != nil {
		return err
	}
	return netd.Serve(ctx, os.Args[1], l)
}
