package container

import (
	"context"
	"path/filepath"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/secret"
	"github.com/nook-containers/nook/libpod/spec"
)

// openSecrets returns the secrets that belong to the store in use.
func openSecrets(f *cmdutil.Factory) (secret.Store, error) {
	s, err := f.State()
	return secret.Store{Dir: filepath.Join(s.Dir, "secrets"), Environ: f.Environ}, err
}

// sessionSecrets makes sure that the secrets are there, and reads those that only
// this half can: from the user's environment, or by the user's commands.
func sessionSecrets(ctx context.Context, f *cmdutil.Factory, secrets []spec.Secret) (map[string][]byte, error) {
	if len(secrets) == 0 {
		return nil, nil //nolint:nilnil // an empty map
	}
	store, err := openSecrets(f)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, sec := range secrets {
		names = append(names, sec.Name)
	}
	return store.Session(ctx, names)
}

// secretVariables reads the secrets that are variables anew, for a command that
// joins the container: no file remembers what its first process got. known are those
// that need not be read.
func secretVariables(ctx context.Context, f *cmdutil.Factory, secrets []spec.Secret, known map[string][]byte) ([]string, error) {
	var env []string
	for _, want := range secrets {
		if want.Type != spec.SecretEnv {
			continue
		}
		if data, ok := known[want.Name]; ok {
			env = append(env, want.Target+"="+string(data))
			continue
		}
		store, err := openSecrets(f)
		if err != nil {
			return nil, err
		}
		sec, err := store.Lookup(want.Name)
		if err != nil {
			return nil, err
		}
		data, err := store.Data(ctx, sec)
		if err != nil {
			return nil, err
		}
		env = append(env, want.Target+"="+string(data))
	}
	return env, nil
}
