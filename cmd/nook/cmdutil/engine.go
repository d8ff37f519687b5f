package cmdutil

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/image"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/userns"
)

// Names that this program has as argv[0] inside the user namespace.
const (
	EngineName = "nook-engine" // runs a command line again
	LaunchName = "nook-launch" // makes and looks after one container
)

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

// InEngine is InStore for work on containers.
func (f *Factory) InEngine(ctx context.Context, work func(context.Context, *container.Engine) error) error {
	if !f.Inside {
		return f.again(ctx)
	}
	e, done, err := f.Engine()
	if err != nil {
		return err
	}
	defer done()
	return work(ctx, e)
}

// Engine opens the engine. Only inside; done gives it back.
func (f *Factory) Engine() (e *container.Engine, done func(), err error) {
	st, err := f.State()
	if err != nil {
		return nil, nil, err
	}
	runtime, err := externalRuntime(f.Globals.Runtime)
	if err != nil {
		return nil, nil, err
	}
	s, err := f.OpenStore()
	if err != nil {
		return nil, nil, err
	}
	return &container.Engine{State: st, Layers: s, Runtime: runtime, Notice: f.Notice}, func() { s.Close() }, nil
}

// OpenStore opens the store that the global flags name. Only inside.
func (f *Factory) OpenStore() (*store.Store, error) {
	p, err := f.Paths()
	if err != nil {
		return nil, err
	}
	o := store.Options{
		Root: filepath.Join(p.Data, "storage"), RunRoot: filepath.Join(p.Run, "storage"),
		Driver: f.Globals.StorageDriver, Opts: f.Globals.StorageOpts, Candidates: candidates,
	}
	if f.Globals.Root != "" {
		if o.Root, err = filepath.Abs(f.Globals.Root); err != nil {
			return nil, err
		}
		o.RunRoot = filepath.Join(p.Run, "at-"+rootTag(o.Root), "storage")
	}
	if f.Globals.RunRoot != "" {
		if o.RunRoot, err = filepath.Abs(f.Globals.RunRoot); err != nil {
			return nil, err
		}
	}
	return store.Open(o)
}

// candidates resolves a short name as a pull would. A mistake in registries.conf
// shows when it matters, in the pull; until then the defaults serve.
func candidates(name string) []string {
	cfg, _ := config.LoadRegistries() //nolint:errcheck // see above
	return image.Candidates(name, cfg)
}

// externalRuntime checks --runtime.
func externalRuntime(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	if !filepath.IsAbs(path) {
		return "", problem.Hint(fmt.Errorf("runtime %q: must be an absolute path", path), "run: command -v %s", path)
	}
	fi, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("runtime: %w", err)
	}
	if fi.IsDir() || fi.Mode()&0o111 == 0 {
		return "", fmt.Errorf("runtime %s: not executable", path)
	}
	return path, nil
}

func (f *Factory) again(ctx context.Context) error {
	child, err := f.StartEngine(ctx, append([]string{EngineName}, f.Args...), f.Streams)
	if err != nil {
		return err
	}
	st, err := child.Wait()
	if err != nil {
		return err
	}
	switch code := st.ExitCode(); {
	case code > 0:
		return &ExitError{Code: code}
	case code < 0:
		return fmt.Errorf("engine: %v", st)
	}
	return nil
}

// FirstFD is the first of StartEngine's files in the engine.
const FirstFD = helperAnswersFD + 1

// StartEngine runs this program again inside as args, with s as its standard
// streams and files as FirstFD and up. While this process lives it runs credential helpers
// for the engine.
func (f *Factory) StartEngine(ctx context.Context, args []string, s Streams, files ...*os.File) (*os.Process, error) {
	p, err := f.Paths()
	if err != nil {
		return nil, err
	}
	helpers, err := newHostHelpers()
	if err != nil {
		return nil, err
	}
	child, err := userns.Start(ctx, userns.Options{
		RunDir: p.Run,
		Args:   args,
		Env:    config.EngineEnviron(f.Environ),
		Stdin:  s.In, Stdout: s.Out, Stderr: s.Err,
		Files: append(helpers.child, files...),
	})
	if err != nil {
		helpers.close()
		return nil, err
	}
	helpers.serve(ctx)
	f.Say(child.Notice)
	return child.Process, nil
}
