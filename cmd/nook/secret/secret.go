// Package secret holds the verbs on secrets: flags in, one library call, output.
package secret

import (
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/secret"
)

// Noun returns the "secret" command with its verbs.
func Noun() cmdutil.Verb {
	return cmdutil.Noun("secret", "Manage secrets", []cmdutil.Verb{
		{Names: "create", New: newCreate},
		{Names: "exists", New: newExists},
		{Names: "inspect", New: newInspect},
		{Names: "ls list", New: newList},
		{Names: "rm remove", New: newRemove},
	})
}

// open returns the secrets that belong to the store in use. Nothing of theirs
// needs the user namespace.
func open(f *cmdutil.Factory) (secret.Store, error) {
	s, err := f.State()
	return secret.Store{Dir: filepath.Join(s.Dir, "secrets"), Environ: f.Environ}, err
}

func newExists(f *cmdutil.Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "exists SECRET",
		Short: "Tell by the exit status whether a secret exists",
		Long:  "Exit with 0 if the secret exists, 1 if not, 125 if that cannot be told.",
		Args:  cmdutil.ExactArgs(1, "a secret"),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := open(f)
			if err != nil {
				return err
			}
			_, err = s.Lookup(args[0])
			if errors.Is(err, secret.ErrNotFound) {
				return &cmdutil.ExitError{Code: 1}
			}
			return err
		},
	}
}
