package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/logs"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/term"
)

// readLog also looks whether the log could be opened here: later, the container
// would be there and could not start.
func (o *createFlags) readLog(r *container.Request, h host) (err error) {
	l := &r.Spec.Log
	if *l, err = syntax.Log(o.logDriver, o.logOpts, h.dir); err != nil {
		return err
	}
	switch {
	case l.Path != "":
		dir := filepath.Dir(l.Path)
		if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
			return problem.Hint(fmt.Errorf("log %s: no such directory: %s", l.Path, dir), "run: mkdir -p %s", dir)
		}
	case l.Driver == logs.Journald:
		if _, err := os.Stat(logs.JournalSocket); err != nil {
			return problem.Hint(fmt.Errorf("log driver journald: no journal: %w", err), "add: --log-driver k8s-file")
		}
	case logs.PassesThrough(l.Driver):
		return o.checkPassthrough(r)
	}
	return nil
}

// checkPassthrough refuses what a container can't have whose streams are this
// process's, and nobody else's.
func (o *createFlags) checkPassthrough(r *container.Request) error {
	for _, no := range []struct {
		flag  string
		given bool
	}{{"--tty", r.Spec.TTY}, {"--restart", r.Spec.Restart.Policy != ""}} {
		if no.given {
			return fmt.Errorf("--log-driver %s and %s exclude each other", r.Spec.Log.Driver, no.flag)
		}
	}
	return nil
}

// ownStreams are the first descriptors to give to a container that has this
// process's streams.
func ownStreams(f *cmdutil.Factory, driver string) ([]*os.File, error) {
	if !logs.PassesThrough(driver) {
		return nil, nil
	}
	streams := []*os.File{f.In, f.Out, f.Err}
	if driver == logs.Passthrough && slices.ContainsFunc(streams, term.IsTerminal) {
		return nil, problem.Hint(errors.New("--log-driver passthrough: a stream is a terminal, into which the container could push keys"),
			"if you trust it: --log-driver passthrough-tty")
	}
	return streams, nil
}
