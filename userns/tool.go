package userns

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/nook-containers/nook/pkg/sys"
)

// A tool is a running helper program.
type tool struct {
	name string
	proc *sys.Child
	out  *os.File // its standard output and error
}

// A toolError is a helper's exit status other than 0.
type toolError struct {
	tool, status, output string
}

func (e *toolError) Error() string {
	if e.output == "" {
		return e.tool + ": " + e.status
	}
	return e.tool + ": " + e.output
}

// startTool runs the program at path, in the C locale, without anything else in
// its environment: none of the helpers needs more, and their messages are read.
func startTool(path string, args ...string) (*tool, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		r.Close()
		return nil, err
	}
	defer null.Close()
	argv := append([]string{path}, args...)
	p, err := sys.StartChild(path, argv, &os.ProcAttr{Dir: "/", Env: []string{"LC_ALL=C"}, Files: []*os.File{null, w, w}})
	if err != nil {
		r.Close()
		return nil, err
	}
	return &tool{name: filepath.Base(path), proc: p, out: r}, nil
}

// wait returns what the tool printed; the error is a *toolError where the tool
// itself failed.
func (t *tool) wait() (string, error) {
	defer t.out.Close()
	data, rerr := io.ReadAll(io.LimitReader(t.out, 1<<20))
	st, err := t.proc.Wait()
	if err = errors.Join(rerr, err); err != nil {
		return "", fmt.Errorf("%s: %w", t.name, err)
	}
	if st != 0 {
		return "", &toolError{t.name, sys.ExitText(st), strings.TrimSpace(string(data))}
	}
	return string(data), nil
}

func (t *tool) stop() error {
	err := t.proc.Kill()
	_, werr := t.wait()
	if _, killed := errors.AsType[*toolError](werr); killed {
		werr = nil
	}
	return errors.Join(err, werr)
}
