package container

import (
	"context"
	"path/filepath"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/secret"
	"github.com/nook-containers/nook/libpod/spec"
)

// sessionSecrets makes sure that the secrets are there, and reads those that only
// this half can: from the user's environment, or by the user's commands.
func sessionSecrets(ctx context.Context, f *cmdutil.Factory, secrets []spec.Secret) (map[string][]byte, error) {
	if len(secrets) == 0 {
		return nil, nil //nolint:nilnil // an empty map
	}
	s, err := f.State()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, sec := range secrets {
		names = append(names, sec.Name)
	}
	return secret.Store{Dir: filepath.Join(s.Dir, "secrets"), Environ: f.Environ}.Session(ctx, names)
}
