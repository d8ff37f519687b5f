// Package oci is "nook oci": the OCI runtime command line.
package oci

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/pkg/oci/state"
)

// runtime is what the verbs share.
type runtime struct {
	*cmdutil.Factory
	root string
}

// New returns the "oci" command with its verbs.
func New(f *cmdutil.Factory) *cobra.Command {
	r := &runtime{Factory: f}
	cmd := &cobra.Command{
		Use:   "oci",
		Short: "Run OCI bundles",
		Long: `Run OCI bundles with the command line that OCI runtimes have in common.

It works in the namespaces it is called from: root of a user namespace can run
any bundle, a plain user one that has a user namespace of its own.`,
	}
	cmd.PersistentFlags().StringVar(&r.root, "root", "", "directory of the containers' state (default: $XDG_RUNTIME_DIR/nook/oci)")
	cmd.AddCommand(newCreate(r), newStart(r), newState(r), newKill(r), newDelete(r), newRun(r), newExec(r), newPause(r), newResume(r), newUpdate(r))
	return cmd
}

func (r *runtime) store() (state.Store, error) {
	if r.root != "" {
		dir, err := filepath.Abs(r.root)
		return state.Store{Dir: dir}, err
	}
	p, err := r.Paths()
	if err != nil {
		return state.Store{}, err
	}
	return state.Store{Dir: filepath.Join(p.Run, "oci")}, nil
}

func (r *runtime) open(id string) (*state.Container, error) {
	s, err := r.store()
	if err != nil {
		return nil, err
	}
	return s.Open(id)
}
