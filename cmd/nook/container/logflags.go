package container

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/logs"
	"github.com/nook-containers/nook/pkg/problem"
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
	case l.Driver == logs.Passthrough:
		return cmdutil.NotYet("--log-driver passthrough", "use: --log-driver none")
	}
	return nil
}
