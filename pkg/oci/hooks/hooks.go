// Package hooks runs the programs that an OCI bundle wants run at points of a
// container's life. The early stage links it, hence no os/exec.
package hooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nook-containers/nook/pkg/oci/plan"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/pkg/sys/kern"
)

// tail is how much of a failed hook's standard error goes into the error, in
// bytes.
const tail = 1 << 10

// errTimeout is a hook that did not end in time.
var errTimeout = errors.New("timed out")

// Run runs one hook with the state as JSON on its standard input (runtime-spec,
// config.md "POSIX-platform Hooks"). It fails where the hook can't be started,
// exits with another status than 0, or takes longer than its timeout, in which
// case it is killed.
func Run(h *plan.Hook, state *plan.State) error {
	data, err := json.Marshal(state)
	if err != nil {
		return err
	}
	stdin, err := memfile("state", data)
	if err != nil {
		return err
	}
	defer stdin.Close()
	// A file and not a pipe: a hook may leave a process behind that keeps it.
	stderr, err := memfile("stderr", nil)
	if err != nil {
		return err
	}
	defer stderr.Close()
	// Not os.OpenFile: that starts the runtime's poller, and the caller may be an
	// init that closes descriptors it does not know.
	fd, err := kern.Open(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	null := os.NewFile(uintptr(fd), os.DevNull)
	defer null.Close()
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	env := h.Env
	if env == nil {
		env = []string{} // nil would pass on our own
	}
	var p *os.Process
	if err := sys.PlainTimers(func() (err error) {
		p, err = os.StartProcess(h.Path, args, &os.ProcAttr{Dir: "/", Env: env, Files: []*os.File{stdin, null, stderr}})
		return err
	}); err != nil {
		return err
	}
	return wait(p, h.Timeout, stderr)
}

func wait(p *os.Process, timeout int, stderr *os.File) error {
	late := make(chan struct{})
	if timeout > 0 {
		t := time.AfterFunc(time.Duration(timeout)*time.Second, func() {
			close(late)
			_ = p.Kill() // it may be gone already
		})
		defer t.Stop()
	}
	st, err := p.Wait()
	if err != nil {
		return err
	}
	if st.Success() {
		return nil
	}
	select {
	case <-late:
		return fmt.Errorf("%w after %d s", errTimeout, timeout)
	default:
	}
	if said := lastWords(stderr); said != "" {
		return fmt.Errorf("%v: %s", st, said)
	}
	return errors.New(st.String())
}

func lastWords(f *os.File) string {
	fi, err := f.Stat()
	if err != nil {
		return ""
	}
	buf := make([]byte, tail)
	n, _ := f.ReadAt(buf, max(0, fi.Size()-tail)) // io.EOF is the rule here
	return strings.TrimSpace(string(buf[:n]))
}

func memfile(name string, data []byte) (*os.File, error) {
	fd, err := kern.Memfd(name, data)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Seek(0, 0)
	return f, err
}
