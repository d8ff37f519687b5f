// Package network holds the network verbs: flags in, one library call, output.
package network

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/network"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/hostnet"
	"github.com/nook-containers/nook/pkg/problem"
)

// Exit statuses, as podman-network-rm(1): nothing else went wrong, but one was not
// there, or one was in use.
const (
	exitNotFound = 1
	exitInUse    = 2
)

// Noun returns the "network" command with its verbs.
func Noun() cmdutil.Verb {
	return cmdutil.Noun("network", "Manage networks", []cmdutil.Verb{
		{Names: "connect", New: newConnect},
		{Names: "create", New: newCreate},
		{Names: "disconnect", New: newDisconnect},
		{Names: "exists", New: newExists},
		{Names: "inspect", New: newInspect},
		{Names: "ls list", New: newList},
		{Names: "prune", New: newPrune},
		{Names: "reload", New: newReload},
		{Names: "rm remove", New: newRemove},
		{Names: "update", New: newUpdate},
	})
}

// open returns the networks that belong to the store in use.
func open(f *cmdutil.Factory) (network.Store, error) {
	s, err := f.State()
	return network.Of(s), err
}

// lookup finds one network, by its name, its id or the beginning of that.
func lookup(s network.Store, name string) (spec.Network, error) {
	n, err := s.Lookup(name)
	if errors.Is(err, network.ErrNotFound) {
		return n, problem.Hint(err, "run: nook network ls")
	}
	return n, err
}

// lookupContainer finds one container.
func lookupContainer(f *cmdutil.Factory, name string) (*state.Container, error) {
	s, err := f.State()
	if err != nil {
		return nil, err
	}
	c, err := s.Lookup(name)
	if errors.Is(err, state.ErrNotFound) {
		return nil, problem.Hint(err, "run: nook ps -a")
	}
	return c, err
}

// taken is what the host has.
func taken() ([]network.Taken, error) {
	blocks, err := hostnet.Read()
	if err != nil {
		return nil, err
	}
	out := make([]network.Taken, 0, len(blocks))
	for _, b := range blocks {
		by := "the host's on " + b.Interface
		if b.Routed {
			by = "routed through " + b.Interface
		}
		out = append(out, network.Taken{Prefix: b.Prefix, By: by, Routed: b.Routed})
	}
	return out, nil
}

func newExists(f *cmdutil.Factory) *cobra.Command {
	return &cobra.Command{
		Use:     "exists NETWORK",
		Short:   "Tell by the exit status whether a network exists",
		Long:    "Exit with 0 if the network exists, 1 if not, 125 if that cannot be told.",
		Example: "  nook network exists back || nook network create back",
		Args:    cmdutil.ExactArgs(1, "a network"),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := open(f)
			if err != nil {
				return err
			}
			if _, err = s.Lookup(args[0]); errors.Is(err, network.ErrNotFound) {
				return &cmdutil.ExitError{Code: exitNotFound}
			}
			return err
		},
	}
}
