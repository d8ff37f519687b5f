// Package volume holds the volume verbs: flags in, one library call, output.
package volume

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/pkg/problem"
)

// Exit statuses, as podman-volume-rm(1): nothing else went wrong, but one was not
// there, or one was in use.
const (
	exitNotFound = 1
	exitInUse    = 2
)

// Noun returns the "volume" command with its verbs.
func Noun() cmdutil.Verb {
	return cmdutil.Noun("volume", "Manage volumes", []cmdutil.Verb{
		{Names: "create", New: newCreate},
		{Names: "exists", New: newExists},
		{Names: "export", New: newExport},
		{Names: "import", New: newImport},
		{Names: "inspect", New: newInspect},
		{Names: "ls list", New: newList},
		{Names: "mount", New: newMount},
		{Names: "prune", New: newPrune},
		{Names: "rm remove", New: newRemove},
		{Names: "unmount umount", New: newUnmount},
	})
}

// open returns the volumes that belong to the store in use.
func open(f *cmdutil.Factory) (volume.Store, error) {
	s, err := f.State()
	return volume.Of(s), err
}

// lookup finds one volume.
func lookup(f *cmdutil.Factory, name string) (*volume.Volume, error) {
	s, err := open(f)
	if err != nil {
		return nil, err
	}
	v, err := s.Get(name)
	if errors.Is(err, volume.ErrNotFound) {
		return nil, problem.Hint(err, "run: nook volume ls")
	}
	return v, err
}

func newExists(f *cmdutil.Factory) *cobra.Command {
	return &cobra.Command{
		Use:     "exists VOLUME",
		Short:   "Tell by the exit status whether a volume exists",
		Long:    "Exit with 0 if the volume exists, 1 if not, 125 if that cannot be told.",
		Example: "  nook volume exists data || nook volume create data",
		Args:    cmdutil.ExactArgs(1, "a volume"),
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := lookup(f, args[0])
			if errors.Is(err, volume.ErrNotFound) {
				return &cmdutil.ExitError{Code: exitNotFound}
			}
			return err
		},
	}
}

func newMount(f *cmdutil.Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "mount VOLUME...",
		Short: "Print where volumes are on the host",
		Long: `Print the directory of each volume on the host. It is there all the time: nothing
is mounted, and the volume may be in use. Most of its files belong to your
subordinate ids; inside the user namespace they can be changed.`,
		Example: "  ls $(nook volume mount data)",
		Args:    cmdutil.MinArgs(1, "a volume"),
		RunE:    func(_ *cobra.Command, args []string) error { return printDirs(f, args) },
	}
}

func printDirs(f *cmdutil.Factory, names []string) error {
	for _, name := range names {
		v, err := lookup(f, name)
		if err != nil {
			return err
		}
		dir := v.Mountpoint()
		if dir == "" {
			return problem.Hint(fmt.Errorf("volume %s: is in memory, and only while a container runs with it", name),
				"use it in a container: nook run -v %s:/path IMAGE", name)
		}
		fmt.Fprintln(f.Out, dir)
	}
	return nil
}

func newUnmount(f *cmdutil.Factory) *cobra.Command {
	return &cobra.Command{
		Use:     "unmount VOLUME...",
		Aliases: []string{"umount"},
		Short:   "Undo volume mount",
		Long:    "Print the name of each volume. Since volume mount mounts nothing, nothing is to be undone.",
		Args:    cmdutil.MinArgs(1, "a volume"),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, name := range args {
				v, err := lookup(f, name)
				if err != nil {
					return err
				}
				fmt.Fprintln(f.Out, v.Name)
			}
			return nil
		},
	}
}
