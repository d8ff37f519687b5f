package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/health"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

// HealthNoun returns the "healthcheck" command.
func HealthNoun() cmdutil.Verb {
	return cmdutil.Noun("healthcheck", "Check the health of containers", []cmdutil.Verb{{Names: "run", New: newHealthcheckRun}})
}

func newHealthcheckRun(f *cmdutil.Factory) *cobra.Command {
	ignore := false
	cmd := &cobra.Command{
		Use:   "run [flags] CONTAINER",
		Short: "Check the health of a container now",
		Long: `Run the health check of a running container, beside those that are due. Exit with
0 if it succeeds, with 1 if not, and print what the container counts as then; 125
if there is no check.`,
		Example: "  nook healthcheck run web && echo fine",
		Args:    cmdutil.ExactArgs(1, "a container"),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := f.State()
			if err != nil {
				return err
			}
			c, err := s.Lookup(args[0])
			if errors.Is(err, state.ErrNotFound) {
				err = problem.Hint(err, "run: nook ps -a")
			}
			if err != nil {
				return err
			}
			if health.Test(c.Spec.Health, c.Image.Health) == nil {
				return problem.Hint(fmt.Errorf("%s: %w", c.Name, monitor.ErrNoHealthCheck), "make the container with: --health-cmd COMMAND")
			}
			answer, err := container.CheckHealth(c)
			if err != nil || answer.Code == 0 {
				return err
			}
			word := answer.Status
			if word == health.Healthy { // this one failed all the same
				word = health.Unhealthy
			}
			fmt.Fprintln(f.Out, word)
			if ignore {
				return nil
			}
			return &cmdutil.ExitError{Code: 1}
		},
	}
	cmd.Flags().BoolVar(&ignore, "ignore-result", false, "exit with 0 also if the check fails")
	return cmd
}

// ServeProbe is the process that runs one health check for a monitor. It is inside
// the user's namespace.
func ServeProbe(ctx context.Context, f *cmdutil.Factory) error {
	if err := sys.Setsid(); err != nil {
		return err
	}
	control, err := sys.Adopt(monitor.ProbeFD, "control socket")
	if err != nil {
		return err
	}
	conn := attach.New(control)
	t, payload, err := conn.Read()
	if err != nil || t != attach.Open {
		return fmt.Errorf("read the request: frame type %d: %w", t, err)
	}
	var call monitor.ProbeCall
	err = json.Unmarshal(payload, &call)
	if err == nil {
		err = probe(ctx, f, conn, call)
	}
	if err != nil {
		return conn.WriteJSON(attach.Exited, container.Failure(err))
	}
	return nil
}

func probe(ctx context.Context, f *cmdutil.Factory, conn *attach.Conn, call monitor.ProbeCall) error {
	var r resume
	if err := json.Unmarshal(call.Resume, &r); err != nil {
		return err
	}
	f.Globals = r.Globals
	s, err := f.State()
	if err != nil {
		return err
	}
	c, err := s.Lookup(call.Container)
	if err != nil {
		return err
	}
	env, err := secretVariables(ctx, f, c.Spec.Secrets, r.Secrets)
	if err != nil {
		return err
	}
	container.Exec(ctx, c, conn, container.ExecOptions{Args: call.Args, Env: env, NoSession: true, Probe: true})
	return nil
}
