package oci

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/pkg/oci"
)

func newRun(r *runtime) *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use:   "run [flags] ID",
		Short: "Create and start a container, wait for it and delete it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := r.begin(args[0], &f)
			if err != nil {
				return err
			}
			if b.empty {
				return errors.Join(errors.New("process: missing"), b.lock.Close(), b.ctr.Remove())
			}
			ctr, err := b.create(cmd.Context())
			if err != nil {
				return err
			}
			stop := forward(ctr)
			defer stop()
			code, err := r.runToEnd(b, ctr)
			if err == nil && code != 0 {
				err = &cmdutil.ExitError{Code: code}
			}
			return err
		},
	}
	f.register(cmd)
	return cmd
}

// forward passes on to the container what is sent to us.
func forward(c *oci.Container) (stop func()) {
	ch := make(chan os.Signal, 16)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range ch {
			if n, ok := s.(syscall.Signal); ok {
				_ = syscall.Kill(c.PID, n) // not yet waited for, so the pid is its own
			}
		}
	}()
	return func() { signal.Stop(ch); close(ch) }
}

// runToEnd starts the container, waits and deletes it. The exit status is the
// command's, or 128 and the number of the signal that killed it.
func (r *runtime) runToEnd(b *building, c *oci.Container) (int, error) {
	rec, err := b.ctr.Record()
	if err != nil {
		return 0, errors.Join(err, c.Kill())
	}
	serr := r.start(b.ctr)
	if serr != nil {
		serr = errors.Join(serr, c.Kill())
	}
	st, err := c.Wait()
	if err = errors.Join(serr, err, r.delete(b.ctr, rec)); err != nil {
		if e, ok := errors.AsType[*oci.ExecError](err); ok {
			return 0, &cmdutil.ExitError{Code: e.Code, Err: err}
		}
		return 0, err
	}
	return exitCode(st), nil
}

// exitCode counts as shells do: 128 and the number of a signal.
func exitCode(st syscall.WaitStatus) int {
	const killed = 128
	if st.Signaled() {
		return killed + int(st.Signal())
	}
	return st.ExitStatus()
}
