package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/cmd/nook/launch"
	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/sys"
)

type execOptions struct {
	view
	container.ExecOptions
	targets
	env, envFile []string
	detach       bool
	preserve     int
}

func newExec(f *cmdutil.Factory) *cobra.Command {
	o := &execOptions{view: view{sigProxy: true}, targets: targets{verb: "exec"}}
	cmd := &cobra.Command{
		Use:   "exec [flags] CONTAINER COMMAND [ARG...]",
		Short: "Run a command in a running container",
		Long: `Run a command in a running container, and show it until it ends. It has the
container's user, environment, working directory, limits and system call filter
unless flags say otherwise.

The exit status is the command's: 128+n if signal n ended it, 126 if it cannot
be executed, 127 if it does not exist. 125 is nook's own failure.`,
		Example: "  nook exec -it web sh\n  nook exec -u postgres db psql -c 'select 1'\n  nook exec -i db pg_restore <backup",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.exec(cmd.Context(), f, args)
		},
	}
	fl := cmd.Flags()
	fl.SetInterspersed(false) // what follows the container belongs to its command
	fl.BoolVarP(&o.detach, "detach", "d", false, "run it in the background and print the session's id")
	fl.StringVar(&o.keys, "detach-keys", attach.DefaultDetachKeys, "keys that leave the command running; empty for none")
	fl.StringArrayVarP(&o.env, "env", "e", nil, "environment variable: NAME=VALUE, NAME or PREFIX*")
	fl.StringArrayVar(&o.envFile, "env-file", nil, "file of environment variables, one a line")
	fl.BoolVarP(&o.Stdin, "interactive", "i", false, "pass standard input on")
	fl.BoolVarP(&o.TTY, "tty", "t", false, "give the command a terminal")
	fl.StringVarP(&o.User, "user", "u", "", "user[:group] to run as, names or numbers")
	fl.StringVarP(&o.WorkDir, "workdir", "w", "", "working directory inside")
	fl.BoolVar(&o.Privileged, "privileged", false, "all capabilities, within the container's user namespace")
	fl.IntVar(&o.preserve, "preserve-fds", 0, "pass descriptors 3 to 2+N on to the command")
	fl.BoolVar(&o.NoSession, "no-session", false, "keep the command out of inspect's ExecIDs")
	fl.BoolVarP(&o.latest, "latest", "l", false, "in the container made last")
	fl.StringArrayVar(&o.cidFiles, "cidfile", nil, "read the container's id from this file")
	return cmd
}

func (o *execOptions) exec(ctx context.Context, f *cmdutil.Factory, args []string) error {
	c, args, err := o.pick(f, args)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return errors.New("exec needs a command")
	}
	if err := o.complete(f, args); err != nil {
		return err
	}
	variables, err := secretVariables(ctx, f, c.Spec.Secrets, nil)
	if err != nil {
		return err
	}
	o.Env = append(variables, o.Env...)
	extra, err := preserved(o.preserve, firstPreserved)
	if err != nil {
		return err
	}
	o.tty, o.stdin = o.TTY, o.Stdin
	switch {
	case o.detach:
		return o.background(f, c, extra)
	case o.TTY && o.Stdin && o.keys != "": // its user may leave
		conn, err := o.session(f, c, extra)
		if err != nil {
			return err
		}
		defer conn.Close()
		return o.watch(f, conn, func() { conn.Close() })
	}
	return o.foreground(ctx, f, c, extra)
}

// pick takes the container from the flags or the first argument.
func (o *execOptions) pick(f *cmdutil.Factory, args []string) (*state.Container, []string, error) {
	s, err := f.State()
	if err != nil {
		return nil, nil, err
	}
	var name []string
	if !o.latest && len(o.cidFiles) == 0 {
		if len(args) == 0 {
			return nil, nil, errors.New("exec needs a container and a command")
		}
		name, args = args[:1], args[1:]
	}
	found, err := o.find(f, s, name)
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("exec: %d containers, want one", len(found))
	}
	if err != nil {
		return nil, nil, err
	}
	return found[0].c, args, found[0].err
}

func (o *execOptions) complete(f *cmdutil.Factory, args []string) error {
	o.Args = args
	h := hereNow(f)
	for _, name := range o.envFile {
		content, err := readFile(name, h)
		if err != nil {
			return fmt.Errorf("environment file: %w", err)
		}
		entries, err := syntax.EnvFile(name, string(content), h.environ)
		if err != nil {
			return err
		}
		o.Env = append(o.Env, entries...)
	}
	for _, e := range o.env {
		entries, err := syntax.Env(e, h.environ)
		if err != nil {
			return err
		}
		o.Env = append(o.Env, entries...)
	}
	if o.WorkDir != "" && !strings.HasPrefix(o.WorkDir, "/") {
		return fmt.Errorf("working directory %q: must be an absolute path", o.WorkDir)
	}
	if o.TTY {
		if now, err := size(f); err == nil {
			o.Size = now
		}
	}
	_, err := attach.ParseKeys(o.keys)
	return err
}

// foreground runs the command as a child of this process: nobody can leave it.
func (o *execOptions) foreground(ctx context.Context, f *cmdutil.Factory, c *state.Container, extra []*os.File) error {
	ours, theirs, err := sys.StreamPair()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.Cgroups, err = f.Cgroups(); err != nil {
		return err
	}
	o.Extra = extra
	// A suspended parent does not wait for its child, and without that the whole
	// container can't end.
	o.Started = func() { signal.Ignore(syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU) }
	go container.Exec(ctx, c, attach.New(theirs), o.ExecOptions)
	return o.watch(f, attach.New(ours), cancel)
}

func (o *execOptions) background(f *cmdutil.Factory, c *state.Container, extra []*os.File) error {
	o.Stdin = false
	conn, err := o.session(f, c, extra)
	if err != nil {
		return err
	}
	defer conn.Close()
	id, runs := "", errors.New("it runs")
	client := &attach.Client{Out: f.Out, Err: f.Err, Started: func(s attach.Start) error {
		id = s.ID
		return runs
	}}
	exit, err := client.Run(conn)
	if !errors.Is(err, runs) {
		return outcome(exit, err)
	}
	if err := conn.Write(attach.Detach, nil); err != nil && !errors.Is(err, syscall.EPIPE) { // it may have ended
		return err
	}
	fmt.Fprintln(f.Out, id)
	return nil
}

// execCall is the Open frame to the process of a session.
type execCall struct {
	Globals   cmdutil.Globals       `json:"globals"`
	Container string                `json:"container"` // id
	Options   container.ExecOptions `json:"options"`
	Extra     int                   `json:"extra,omitempty"` // descriptors that follow the control socket
}

// session starts a process that looks after a command which its user may leave.
func (o *execOptions) session(f *cmdutil.Factory, c *state.Container, extra []*os.File) (*attach.Conn, error) {
	ours, theirs, err := sys.StreamPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	defer null.Close()
	p, err := os.StartProcess("/proc/self/exe", []string{launch.SessionName}, &os.ProcAttr{
		Env: f.Environ, Files: slices.Concat([]*os.File{null, null, null, theirs}, extra),
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a process for the session: %w", err), ours.Close())
	}
	go p.Wait() //nolint:errcheck // it reports over the socket
	conn := attach.New(ours)
	call := execCall{Globals: f.Globals, Container: c.ID, Options: o.ExecOptions, Extra: len(extra)}
	if err := conn.WriteJSON(attach.Open, call); err != nil {
		return nil, errors.Join(fmt.Errorf("talk to the session: %w", err), conn.Close())
	}
	return conn, nil
}

// sessionFD is the control socket of a session's process.
const sessionFD = 3

// ServeExec is the process of a session.
func ServeExec(ctx context.Context, f *cmdutil.Factory) error {
	if err := sys.Setsid(); err != nil { // keys typed at the user's terminal are not for us
		return err
	}
	control, err := sys.Adopt(sessionFD, "control socket")
	if err != nil {
		return err
	}
	conn := attach.New(control)
	t, payload, err := conn.Read()
	if err != nil || t != attach.Open {
		return fmt.Errorf("read the request: frame type %d: %w", t, err)
	}
	var call execCall
	if err := json.Unmarshal(payload, &call); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	if err := call.do(ctx, f, conn); err != nil {
		return conn.WriteJSON(attach.Exited, container.Failure(err))
	}
	return nil
}

func (c *execCall) do(ctx context.Context, f *cmdutil.Factory, conn *attach.Conn) error {
	f.Globals = c.Globals
	for i := range c.Extra {
		fd, err := sys.Adopt(sessionFD+1+i, "preserved descriptor")
		if err != nil {
			return err
		}
		c.Options.Extra = append(c.Options.Extra, fd)
	}
	var err error
	if c.Options.Cgroups, err = f.Cgroups(); err != nil {
		return err
	}
	s, err := f.State()
	if err != nil {
		return err
	}
	found, err := s.Lookup(c.Container)
	if err != nil {
		return err
	}
	container.Exec(ctx, found, conn, c.Options)
	return nil
}
