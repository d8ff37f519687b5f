// Package launch starts this program again in the user's namespace, and for the
// commands that make a container does so before the rest of the program is
// initialised.
//
// A new process in a new namespace takes milliseconds before it can work: it
// boots, and newuidmap and newgidmap write its maps. It needs nothing of the
// command line for that. So init looks at os.Args, and where they name such a
// command starts the process in the background while this one initialises its
// other packages and parses its flags. A command line that turns out to be wrong
// drops the process, which ends in silence.
//
// That process does the same: its init enters the namespace and starts the first
// process of the container, which boots meanwhile.
//
// It imports little, since only packages that are initialised before it delay it.
package launch

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
	"github.com/nook-containers/nook/userns"
)

// Names that this program has as argv[0] inside the user namespace.
const (
	EngineName = "nook-engine" // runs a command line again
	LaunchName = "nook-launch" // makes and looks after one container
)

// SessionName is argv[0] of the process that looks after a command in a container
// whose user may leave. It is outside of the namespace.
const SessionName = "nook-session"

// Descriptors of the process inside: two pipes to the one outside, which runs
// credential helpers; then, for LaunchName, the control socket; then the caller's.
const (
	QuestionsFD = userns.FirstFD
	AnswersFD   = userns.FirstFD + 1
	ControlFD   = userns.FirstFD + 2
	FirstFD     = userns.FirstFD + 3
)

// oneProcessor is in the environment of an engine that would not get a second one at
// once: to be ready for it costs it 2 ms.
const oneProcessor = "GOMAXPROCS=1"

// Options say what to start.
type Options struct {
	RunDir       string
	Args         []string // argv; one of the names first
	Env          []string
	In, Out, Err *os.File   // nil: /dev/null
	Files        []*os.File // become FirstFD and up; only with LaunchName
}

// Engine is the process inside, and the ends outside of what it is connected to.
type Engine struct {
	*userns.Process
	Questions, Answers *os.File
	Control            *os.File // nil unless it was started as LaunchName
}

// Start starts an engine.
func Start(ctx context.Context, o Options) (_ *Engine, err error) {
	e := &Engine{}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
		if err != nil {
			e.close()
		}
	}()
	var questions, answers, control *os.File
	if e.Questions, questions, err = os.Pipe(); err != nil {
		return nil, err
	}
	theirs = append(theirs, questions)
	if answers, e.Answers, err = os.Pipe(); err != nil {
		return nil, err
	}
	theirs = append(theirs, answers)
	if o.Args[0] == LaunchName {
		if e.Control, control, err = sys.StreamPair(); err != nil {
			return nil, err
		}
		theirs = append(theirs, control)
	}
	env := o.Env
	if sys.Crowded() {
		env = append(slices.Clone(env), oneProcessor)
	}
	e.Process, err = userns.Start(ctx, userns.Options{
		RunDir: o.RunDir, Args: o.Args, Env: env, Stdin: o.In, Stdout: o.Out, Stderr: o.Err,
		Files: append(slices.Clone(theirs), o.Files...),
	})
	return e, err
}

func (e *Engine) close() {
	for _, f := range []*os.File{e.Questions, e.Answers, e.Control} {
		if f != nil {
			f.Close()
		}
	}
}

type result struct {
	engine *Engine
	err    error
}

// early gets the engine that init started; it is nil where init started none.
var early chan result //nolint:gochecknoglobals // handed from init to the command

func init() { //nolint:gochecknoinits // being early is this package's purpose
	if len(os.Args) > 0 && (os.Args[0] == LaunchName || os.Args[0] == EngineName) {
		_ = kern.SetTimerSlack(0) // what makes this fail made it needless
	}
	if len(os.Args) > 0 && os.Args[0] == LaunchName {
		begin()
		return
	}
	if !wanted(os.Args) || config.AreHandedDown() { // those are to be given to it
		return
	}
	if sys.Crowded() {
		runtime.GOMAXPROCS(1) // this process waits for its engine most of the time
	}
	early = make(chan result, 1)
	go func() {
		e, err := startEarly()
		early <- result{e, err}
	}()
}

// wanted reports whether args make a container and say so in front: of what
// follows, only --preserve-fds and --log-driver passthrough would change how the
// engine is started.
func wanted(args []string) bool {
	if len(args) < 3 {
		return false
	}
	switch args[1] {
	case "run", "create":
	default:
		return false
	}
	return !slices.ContainsFunc(args[2:], func(a string) bool {
		return strings.HasPrefix(a, "--preserve-fds") || strings.Contains(a, "passthrough") || a == "--help"
	})
}

func startEarly() (*Engine, error) {
	p, err := config.Load()
	if err != nil {
		return nil, err
	}
	return Start(context.Background(), Options{ //nolint:forbidigo // there is no caller yet
		RunDir: p.Run, Args: []string{LaunchName}, Env: config.EngineEnviron(config.Environ()), Err: os.Stderr,
	})
}

// ErrNone means that Early has no engine to give.
var ErrNone = errors.New("no engine was started early")

// Early returns the engine that was started before main, once.
func Early() (*Engine, error) {
	if early == nil {
		return nil, ErrNone
	}
	r := <-early
	early = nil
	return r.engine, r.err
}
