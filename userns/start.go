package userns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

// FirstFD is the first descriptor of Options.Files in the child; 3 is this
// package's own.
const FirstFD = 4

// Options say what to run in the user namespace.
type Options struct {
	RunDir string   // where the lock files live; made 0700 if missing
	Path   string   // program to run; default: this one
	Args   []string // argv; Args[0] names the stage
	// Env is the child's environment. Start also takes PATH, for newuidmap and
	// newgidmap, and USER from it, and sets the variables of EnvNames.
	Env                   []string
	Stdin, Stdout, Stderr *os.File   // nil is /dev/null
	Files                 []*os.File // become FirstFD and up
}

// Process is this program, running again as root of the user namespace, with a
// mount namespace of its own.
type Process struct {
	*sys.Child
	Notice string // something the user should know once, or ""
}

// EnvNames lists the environment variables that Start sets for containers/storage
// and for config.HostUID. They must not reach a container or a helper program.
func EnvNames() []string {
	return []string{"_CONTAINERS_USERNS_CONFIGURED", "_CONTAINERS_ROOTLESS_UID", "_CONTAINERS_ROOTLESS_GID"}
}

// Start runs this program again in the user's namespace. The child must call
// Ready before anything else.
//
// The child boots and waits on its own: a caller whose request is not complete
// yet should Start first, or in a goroutine, and send the request through a pipe
// in Files. ctx ends the wait for a lock, not the child.
//
// Errors of Start come with a hint wherever the cause is known; see Diagnose.
func Start(ctx context.Context, o Options) (*Process, error) {
	s := &starter{Options: o, host: Host{Env: o.Env}}
	if os.Geteuid() == 0 {
		status, err := s.host.read("/proc/self/status")
		if err != nil {
			return nil, err
		}
		if statusNumber(status, "CapEff", 16)&(1<<capSysAdmin) != 0 {
			return s.startHere(ctx)
		}
	}
	g, err := openGate(o.RunDir)
	if err != nil {
		return nil, err
	}
	defer g.close()
	m, err := g.enter(ctx)
	if err != nil {
		return nil, err
	}
	if m != nil {
		defer m.ns.Close()
		return s.join(g, m)
	}
	return s.create(g)
}

// A starter is one call of Start.
type starter struct {
	Options
	host Host
	env  []string
}

// fork describes the child, as far as all ways to make one agree. end is the
// child's end of the socket.
func (s *starter) fork(end *os.File) *sys.NSFork {
	return &sys.NSFork{
		Path:       s.Path,
		Args:       s.Args,
		Env:        s.env,
		EaseTimers: true,
		Share:      true,

		Files: append([]*os.File{s.Stdin, s.Stdout, s.Stderr, end}, s.Files...),
	}
}

// run forks what set makes of the common description, waits until prepare is
// done and the program runs, and makes the child a member through g, or not
// where g is nil.
func (s *starter) run(g *gate, set func(*sys.NSFork), prepare func(pid int) error) (_ *Process, err error) {
	ours, theirs, err := sys.SocketPair()
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	f := s.fork(theirs)
	set(f)
	child, err := f.Start()
	theirs.Close()
	if err != nil {
		return nil, err
	}
	perr := prepare(child.Pid)
	pid, err := child.Executed()
	if err != nil {
		return nil, errors.Join(err, perr)
	}
	p := sys.ChildOf(pid)
	if perr == nil {
		perr = sys.SendFDs(ours, []byte{1}, g.files()...)
	}
	if perr != nil {
		kerr := p.Kill()
		_, werr := p.Wait()
		return nil, errors.Join(perr, kerr, werr)
	}
	return &Process{Child: p}, nil
}

// hostIDs sets the variables of EnvNames, in place of what is in Env.
func (s *starter) hostIDs(uid, gid int) {
	s.env = s.plainEnv()
	for i, v := range []string{"done", strconv.Itoa(uid), strconv.Itoa(gid)} {
		s.env = append(s.env, EnvNames()[i]+"="+v)
	}
}

func (s *starter) plainEnv() []string {
	names := EnvNames()
	return slices.DeleteFunc(slices.Clone(s.Env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return slices.Contains(names, name)
	})
}

// startHere gives the child a mount namespace only.
func (s *starter) startHere(ctx context.Context) (*Process, error) {
	m, err := Current()
	if err != nil {
		return nil, err
	}
	switch {
	case m.initial(): // real root: containers/storage must not think otherwise
		s.env = s.plainEnv()
	case slices.ContainsFunc(s.Env, func(e string) bool { return strings.HasPrefix(e, EnvNames()[0]+"=") }):
		s.env = s.Env // we are in nook's namespace, and they tell who we are outside
	default:
		s.hostIDs(os.Getuid(), os.Getgid())
	}
	var g *gate
	if sys.IsFile(MemberFD, membersPath(s.RunDir)) {
		if g, err = passOn(ctx, s.RunDir); err != nil {
			return nil, err
		}
		defer g.close()
	}
	p, err := s.run(g, func(f *sys.NSFork) {
		f.CloneFlags = sys.NewMount
		f.SlaveMounts = true
	}, nothing)
	if err != nil {
		return nil, problem.Hint(fmt.Errorf("create mount namespace: %w", err), "compare: unshare --mount true")
	}
	if m.Single() {
		p.Notice = "only one id is mapped in the user namespace around nook: files and processes in containers can belong to root only"
	}
	return p, nil
}

func nothing(int) error { return nil }

// join makes the child a member of m's namespace.
func (s *starter) join(g *gate, m *member) (*Process, error) {
	s.hostIDs(os.Geteuid(), os.Getegid())
	p, err := s.run(g, func(f *sys.NSFork) {
		f.Join = []sys.Namespace{{File: m.ns, Type: sys.NewUser}}
		f.Unshare = sys.NewMount
		f.BecomeRoot = true
	}, nothing)
	if err != nil {
		return nil, fmt.Errorf("join the user namespace of process %d: %w", m.pid, s.explain(err))
	}
	if m.single {
		p.Notice, err = s.singleNotice()
	}
	return p, err
}

// explain replaces what went wrong by its cause.
func (s *starter) explain(err error) error {
	var fail Failure
	if e, ok := errors.AsType[*sys.NSForkError](err); ok {
		fail = Failure{Step: e.Step, Err: e.Err}
	} else if e, ok := errors.AsType[*mapError](err); ok {
		fail = e.Failure
	} else {
		return err
	}
	f, ferr := s.host.Collect()
	if ferr != nil {
		return errors.Join(err, ferr)
	}
	return Diagnose(f, fail)
}
