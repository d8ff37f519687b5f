package cmdutil

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/nook-containers/nook/cmd/nook/launch"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/image"
	"github.com/nook-containers/nook/pkg/cdi"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/config/regconf"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/registry"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/systemd"
	"github.com/nook-containers/nook/userns"
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
	return &container.Engine{State: st, Layers: s, Runtime: runtime, Notice: f.Notice, CDI: f.cdiDirs()}, func() { s.Close() }, nil
}

// Cgroups says how containers get their control groups.
func (f *Factory) Cgroups() (container.Cgroups, error) {
	c := container.Cgroups{Manager: f.Globals.CgroupManager}
	switch c.Manager {
	case "", container.ManagerSystemd, container.ManagerCgroupfs:
	default:
		return c, fmt.Errorf("--cgroup-manager %q: want systemd or cgroupfs", c.Manager)
	}
	c.Systemd = Managers()
	return c, nil
}

// Managers are where the user's systemd may be.
func Managers() []systemd.Address {
	var all []systemd.Address
	for _, s := range config.ManagerSockets() {
		all = append(all, systemd.Address(s))
	}
	return all
}

// cdiDirs are where devices are described.
func (f *Factory) cdiDirs() []string {
	if len(f.Globals.CDIDirs) > 0 {
		return f.Globals.CDIDirs
	}
	home, err := config.UserDir()
	if err != nil { // nobody's; the host's are there all the same
		return cdi.Dirs("")
	}
	return cdi.Dirs(home)
}

// OpenStore opens the store that the global flags name. Only inside.
func (f *Factory) OpenStore() (*store.Store, error) {
	root, runRoot, err := f.StoreDirs()
	if err != nil {
		return nil, err
	}
	st, err := f.State()
	if err != nil {
		return nil, err
	}
	// A mistake in registries.conf shows when it matters, in the pull; until then the
	// defaults serve.
	registries := sync.OnceValue(func() regconf.Registries {
		cfg, _ := regconf.LoadRegistries()
		return cfg
	})
	if f.FindsImages {
		go registries()
	}
	return store.Open(store.Options{
		Root: root, RunRoot: runRoot,
		Driver: f.Globals.StorageDriver, Opts: f.Globals.StorageOpts,
		Candidates: func(name string) []string {
			if !image.IsShort(name) {
				return image.Candidates(name, regconf.Registries{})
			}
			return image.Candidates(name, registries())
		},
		MoreIDs: userns.MoreIDs, Notice: f.Notice, Users: st.Images,
		Changed: func(what store.Change, id, name string) { events.TellImage(st, string(what), id, name) },
	})
}

// TellImage has the log of events tell that action happened to an image.
func (f *Factory) TellImage(action, id, name string) {
	if st, err := f.State(); err == nil {
		events.TellImage(st, action, id, name)
	}
}

// StoreDirs are the graph root and the run root of the store that the global
// flags name.
func (f *Factory) StoreDirs() (root, runRoot string, err error) {
	p, err := f.Paths()
	if err != nil {
		return "", "", err
	}
	root, runRoot = filepath.Join(p.Data, "storage"), filepath.Join(p.Run, "storage")
	if f.Globals.Root != "" {
		if root, err = filepath.Abs(f.Globals.Root); err != nil {
			return "", "", err
		}
		runRoot = filepath.Join(p.Run, "at-"+rootTag(root), "storage")
	}
	if f.Globals.RunRoot != "" {
		runRoot, err = filepath.Abs(f.Globals.RunRoot)
	}
	return root, runRoot, err
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

// Unshared runs work with the engine open in this very process, for what it does
// to the mounts that the user sees: that is only right in "nook unshare".
func (f *Factory) Unshared(ctx context.Context, work func(context.Context, *container.Engine) error) error {
	if !config.Unshared() {
		return problem.Hint(errors.New("mounts of containers exist only in the user's namespace"), "run: nook unshare; and this command in its shell")
	}
	e, done, err := f.Engine()
	if err != nil {
		return err
	}
	defer done()
	return work(ctx, e)
}

// InForeground runs the same command line again inside, as InStore does, for a
// command that hands the terminal over to a program of the user's.
func (f *Factory) InForeground(ctx context.Context) error {
	return f.inside(ctx, func(child *launch.Engine) (stop func()) { return Foreground(child.Signal) })
}

// Foreground leaves the keys that interrupt to the child, which the terminal sends
// them to as well, and passes on the signals that end this process alone.
func Foreground(pass func(syscall.Signal) error) (stop func()) {
	in := make(chan os.Signal, 4)
	signal.Notify(in, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for s := range in {
			if sig, ok := s.(syscall.Signal); ok && (sig == syscall.SIGTERM || sig == syscall.SIGHUP) {
				_ = pass(sig) // it may have ended
			}
		}
	}()
	return func() { signal.Stop(in); close(in) }
}

// Also runs another command of this program inside. Its output goes to out; nil
// leaves it out.
func (f *Factory) Also(ctx context.Context, out *os.File, args ...string) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	other := *f
	other.mute = true
	other.In, other.Out, other.Err, other.Args = null, null, null, append(f.Globals.args(), args...)
	if out != nil {
		other.Out = out
	}
	return other.again(ctx)
}

// args are the flags that give g.
func (g Globals) args() []string {
	var out []string
	for _, f := range []struct{ name, value string }{
		{"--root", g.Root}, {"--runroot", g.RunRoot}, {"--storage-driver", g.StorageDriver}, {"--runtime", g.Runtime},
	} {
		if f.value != "" {
			out = append(out, f.name+"="+f.value)
		}
	}
	for _, o := range g.StorageOpts {
		out = append(out, "--storage-opt="+o)
	}
	for _, d := range g.CDIDirs {
		out = append(out, "--cdi-spec-dir="+d)
	}
	return out
}

func (f *Factory) again(ctx context.Context) error {
	return f.inside(ctx, func(*launch.Engine) func() { return func() {} })
}

func (f *Factory) inside(ctx context.Context, watch func(*launch.Engine) (stop func())) error {
	p, err := f.Paths()
	if err != nil {
		return err
	}
	child, err := launch.Start(ctx, launch.Options{
		RunDir: p.Run, Args: append([]string{launch.EngineName}, f.Args...), Env: config.EngineEnviron(f.Environ),
		In: f.In, Out: f.Out, Err: f.Err,
	})
	if err != nil {
		return err
	}
	defer watch(child)()
	f.attend(ctx, child)
	st, err := child.Wait()
	if err != nil {
		return err
	}
	switch {
	case st.Signaled() && st.Signal() == syscall.SIGPIPE:
		return errUnread // nobody reads its output any more, nor would read of that
	case st.Signaled():
		return fmt.Errorf("engine: %s", sys.ExitText(st))
	case st.ExitStatus() > 0:
		return &ExitError{Code: st.ExitStatus()}
	}
	return nil
}

// Launch starts the process that makes and looks after one container, or takes the
// one that was started before main. It gets no input of the user's, and writes
// only notices and progress, to standard error; extra are launch.FirstFD and up.
func (f *Factory) Launch(ctx context.Context, extra []*os.File) (*launch.Engine, error) {
	if len(extra) == 0 {
		e, err := launch.Early()
		if err == nil {
			f.attend(ctx, e)
		}
		if !errors.Is(err, launch.ErrNone) {
			return e, err
		}
	}
	p, err := f.Paths()
	if err != nil {
		return nil, err
	}
	e, err := launch.Start(ctx, launch.Options{
		RunDir: p.Run, Args: []string{launch.LaunchName}, Env: config.EngineEnviron(f.Environ), Err: f.Err, Files: extra,
	})
	if err != nil {
		return nil, err
	}
	f.attend(ctx, e)
	return e, nil
}

// attend runs credential helpers for the engine while this process lives, and
// passes its notice on.
func (f *Factory) attend(ctx context.Context, e *launch.Engine) {
	go func() {
		// The engine reports what goes wrong: its question gets no answer.
		_ = registry.ServeHelpers(ctx, e.Questions, e.Answers, registry.RunHelper)
		e.Questions.Close()
		e.Answers.Close()
	}()
	f.Say(e.Notice)
}

// CredentialHelper runs credential helpers where the user's session is: outside
// the user namespace, where a keyring recognizes the user's uid. Only inside; the
// pipes never reach another program.
func (f *Factory) CredentialHelper() registry.HelperFunc {
	if f.helper != nil {
		return f.helper
	}
	for _, fd := range []int{launch.QuestionsFD, launch.AnswersFD} {
		if err := sys.SetCloseOnExec(fd, true); err != nil {
			return nil // started some other way: run them here
		}
	}
	f.helper = registry.AskHelpers(os.NewFile(launch.QuestionsFD, "helper questions"), os.NewFile(launch.AnswersFD, "helper answers"))
	return f.helper
}
