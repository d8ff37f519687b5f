package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/pkg/oci"
	"github.com/nook-containers/nook/pkg/oci/seccomp"
	"github.com/nook-containers/nook/pkg/oci/state"
	"github.com/nook-containers/nook/pkg/sys"
)

// execFlags are those that runtimes have in common.
type execFlags struct {
	process, cwd, user, pidFile, consoleSocket string
	env                                        []string
	tty, detach, noNewPrivs                    bool
	preserveFDs                                int
}

func newExec(r *runtime) *cobra.Command {
	var f execFlags
	cmd := &cobra.Command{
		Use:   "exec [flags] ID [COMMAND [ARG...]]",
		Short: "Run a command in a running container",
		Long: `Run a command in a running container: that of --process, a JSON file with the
process part of a config.json, or the container's own process with another
command and what the flags say.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.exec(cmd.Context(), args[0], args[1:], &f)
		},
	}
	fl := cmd.Flags()
	fl.SetInterspersed(false)
	fl.StringVarP(&f.process, "process", "p", "", "file with the process to run")
	fl.StringVar(&f.cwd, "cwd", "", "working directory inside")
	fl.StringArrayVarP(&f.env, "env", "e", nil, "environment variable, NAME=VALUE")
	fl.StringVarP(&f.user, "user", "u", "", "UID[:GID] to run as")
	fl.BoolVarP(&f.tty, "tty", "t", false, "give the command a terminal; needs --console-socket")
	fl.StringVar(&f.consoleSocket, "console-socket", "", "socket to send the terminal's master to")
	fl.BoolVarP(&f.detach, "detach", "d", false, "do not wait for the command")
	fl.StringVar(&f.pidFile, "pid-file", "", "file to write the pid of the command to")
	fl.BoolVar(&f.noNewPrivs, "no-new-privs", false, "keep the command from gaining privileges")
	fl.IntVar(&f.preserveFDs, "preserve-fds", 0, "descriptors to pass on, counted from 3")
	return cmd
}

func (r *runtime) exec(ctx context.Context, id string, args []string, f *execFlags) error {
	c, err := r.open(id)
	if err != nil {
		return err
	}
	rec, status, err := c.Status()
	if err != nil {
		return err
	}
	if status != specs.StateRunning && status != specs.StateCreated {
		return fmt.Errorf("exec in container %s: it is %s", c.ID, status)
	}
	spec, err := c.Spec()
	if err != nil {
		return err
	}
	p, err := f.build(spec, args)
	if err != nil {
		return err
	}
	cfg := oci.ExecConfig{Process: p, Stdin: r.In, Stdout: r.Out, Stderr: r.Err}
	if spec.Linux != nil && spec.Linux.Seccomp != nil {
		if cfg.Filter, err = seccomp.Compile(spec.Linux.Seccomp); err != nil {
			return fmt.Errorf("linux.seccomp: %w", err)
		}
	}
	if cfg.ExtraFiles, err = extraFiles(f.preserveFDs); err != nil {
		return err
	}
	ctr, err := enter(ctx, rec, cfg, f)
	if err != nil {
		return exitStatus(err)
	}
	if f.detach {
		return nil
	}
	stop := forward(ctr)
	defer stop()
	st, err := ctr.Wait()
	if code := exitCode(st); err == nil && code != 0 {
		err = &cmdutil.ExitError{Code: code}
	}
	return err
}

// exitStatus gives an error of the command the status that shells have for it.
func exitStatus(err error) error {
	if e, ok := errors.AsType[*oci.ExecError](err); ok {
		return &cmdutil.ExitError{Code: e.Code, Err: err}
	}
	return err
}

// enter starts the command in the container of rec.
func enter(ctx context.Context, rec state.Record, cfg oci.ExecConfig, f *execFlags) (*oci.Container, error) {
	pidfd, err := sys.PidfdOpen(rec.Pid)
	if err != nil {
		return nil, err
	}
	defer pidfd.Close()
	if alive, err := rec.Alive(); err != nil || !alive { // the descriptor is of that process, or of none
		return nil, errors.Join(err, oci.ErrEnded)
	}
	t := oci.Target{PID: rec.Pid, Pidfd: pidfd, KillWithParent: !f.detach}
	if rec.Cgroup != "" {
		if t.Cgroup, err = os.Open(rec.Cgroup); err != nil {
			return nil, fmt.Errorf("enter the control group: %w", err)
		}
		defer t.Cgroup.Close()
	}
	e, err := oci.Enter(t)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	ctr, err := e.Exec(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if ctr.Console != nil {
		defer ctr.Console.Close()
		if err := sendConsole(f.consoleSocket, ctr.Console); err != nil {
			return nil, errors.Join(err, kill(ctr))
		}
	}
	if f.pidFile != "" {
		if err := writePid(f.pidFile, ctr.PID); err != nil {
			return nil, errors.Join(err, kill(ctr))
		}
	}
	if err := ctr.Start(); err != nil {
		return nil, errors.Join(err, kill(ctr))
	}
	return ctr, nil
}

func kill(c *oci.Container) error {
	err := c.Kill()
	_, werr := c.Wait()
	return errors.Join(err, werr)
}

// build is the process: that of the file, or the container's own, changed.
func (f *execFlags) build(spec *specs.Spec, args []string) (*specs.Process, error) {
	var p specs.Process
	switch {
	case f.process != "":
		data, err := os.ReadFile(f.process)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, &p); err != nil {
			return nil, fmt.Errorf("read %s: %w", f.process, err)
		}
	case len(args) == 0:
		return nil, errors.New("exec: needs a command or --process")
	case spec.Process == nil:
		return nil, errors.New("exec: the container's config.json has no process: give one with --process")
	default:
		p = *spec.Process
		p.Terminal = false
	}
	if len(args) > 0 {
		p.Args = args
	}
	p.Terminal = p.Terminal || f.tty
	p.NoNewPrivileges = p.NoNewPrivileges || f.noNewPrivs
	p.Env = append(slices.Clip(p.Env), f.env...)
	if f.cwd != "" {
		p.Cwd = f.cwd
	}
	if p.Terminal != (f.consoleSocket != "") {
		return nil, errors.New("exec: a terminal and --console-socket need each other")
	}
	return &p, f.setUser(&p)
}

func (f *execFlags) setUser(p *specs.Process) error {
	if f.user == "" {
		return nil
	}
	uid, gid, _ := strings.Cut(f.user, ":")
	n, err := strconv.ParseUint(uid, 10, 31)
	if err != nil {
		return fmt.Errorf("--user %q: want UID[:GID], numbers", f.user)
	}
	p.User = specs.User{UID: uint32(n), Umask: p.User.Umask}
	if gid != "" {
		if n, err = strconv.ParseUint(gid, 10, 31); err != nil {
			return fmt.Errorf("--user %q: want UID[:GID], numbers", f.user)
		}
		p.User.GID = uint32(n)
	}
	return nil
}
