package container

import (
	"errors"
	"os"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/logs"
	"github.com/nook-containers/nook/pkg/oci"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

// failed is nook's own exit status, as docker-run(1) and podman-run(1) have it.
const failed = 125

// Failure turns an error into what the client shows: 126 or 127 if the command
// cannot run, else 125.
func Failure(err error) attach.Exit {
	exit := attach.Exit{Code: failed, Error: err.Error(), Hint: problem.HintOf(err)}
	if cannot, ok := errors.AsType[*oci.ExecError](err); ok {
		exit.Code = cannot.Code
	}
	if e, ok := errors.AsType[*member.Error](err); ok && e.Busy != nil {
		exit.Busy = &attach.BusyPort{Proto: e.Busy.Proto, Port: e.Busy.HostPort}
	}
	return exit
}

// streams are a container's standard streams: the master of its terminal, or
// pipes. The container never gets the user's own terminal, into which it could
// push keys (TIOCSTI, CVE-2017-5226).
type streams struct {
	child  [3]*os.File // the container's ends; nil: /dev/null
	mine   [3]*os.File // ours
	master *os.File
}

func newStreams(c spec.Container) (s streams, err error) {
	if c.TTY || logs.PassesThrough(c.Log.Driver) {
		return s, nil // the runtime makes the terminal in the container's devpts; or they are there
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if c.OpenStdin {
		if s.child[0], s.mine[0], err = os.Pipe(); err != nil {
			return s, err
		}
	}
	for i := 1; i < 3; i++ {
		if s.mine[i], s.child[i], err = os.Pipe(); err != nil {
			return s, err
		}
	}
	return s, nil
}

// started closes the container's ends here, so that ours see its end.
func (s *streams) started(master *os.File, size attach.Size) {
	s.master = master
	if master != nil {
		_ = sys.SetWindowSize(master, size.Rows, size.Cols) // 0 by 0 is a size too
	}
	for i, f := range s.child {
		if f != nil {
			f.Close()
			s.child[i] = nil
		}
	}
}

func (s *streams) close() error {
	var errs []error
	for _, f := range append(append(s.child[:], s.mine[:]...), s.master) {
		if f == nil {
			continue
		}
		if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
