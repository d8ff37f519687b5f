package cmdutil

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/userns"
)

// EngineName is argv[0] of this program inside the user namespace.
const EngineName = "nook-engine"

// InStore runs work with the image store open. The store's files belong to the
// user's sub-ids, so work needs the user namespace: outside it, InStore runs the
// same command line again inside, with the same standard streams, and passes its
// exit status on. What a command prints or changes before InStore happens twice.
func (f *Factory) InStore(ctx context.Context, work func(context.Context, *store.Store) error) error {
	if !f.Inside {
		return f.again(ctx)
	}
	s, err := f.OpenStore()
	if err != nil {
		return err
	}
	defer s.Close()
	return work(ctx, s)
}

// OpenStore opens the store that the global flags name. Only inside.
func (f *Factory) OpenStore() (*store.Store, error) {
	p, err := f.Paths()
	if err != nil {
		return nil, err
	}
	o := store.Options{
		Root: f.Globals.Root, RunRoot: f.Globals.RunRoot,
		Driver: f.Globals.StorageDriver, Opts: f.Globals.StorageOpts,
	}
	if o.Root == "" {
		o.Root = filepath.Join(p.Data, "storage")
	}
	if o.RunRoot == "" {
		o.RunRoot = filepath.Join(p.Run, "storage")
	}
	return store.Open(o)
}

func (f *Factory) again(ctx context.Context) error {
	p, err := f.Paths()
	if err != nil {
		return err
	}
	helpers, err := newHostHelpers()
	if err != nil {
		return err
	}
	child, err := userns.Start(ctx, userns.Options{
		RunDir: p.Run,
		Args:   append([]string{EngineName}, os.Args[1:]...),
		Env:    os.Environ(),
		Stdin:  f.In, Stdout: f.Out, Stderr: f.Err,
		Files: helpers.child,
	})
	if err != nil {
		helpers.close()
		return err
	}
	helpers.serve(ctx)
	st, err := child.Wait()
	if err != nil {
		return err
	}
	if code := st.ExitCode(); code > 0 {
		return &ExitError{Code: code}
	} else if code < 0 {
		return &ExitError{Code: 125, Err: errKilled(st)}
	}
	return nil
}
func errKilled(st *os.ProcessState) error { return fmt.Errorf("engine: %v", st) }
