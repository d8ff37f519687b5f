// Package child runs a network program for as long as a network lives.
package child

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long a program has to end after SIGTERM.
const patience = 5 * time.Second

// A Process is a running program that dies with this one.
type Process struct {
	name string
	done chan struct{}
	proc *os.Process

	mu      sync.Mutex
	closing bool
	err     error
}

// Start runs path with args and files as descriptors 3 and up. What the program
// writes to its standard error becomes part of the error if it ends by itself.
func Start(path string, args []string, files ...*os.File) (*Process, error) {
	cmd := exec.Command(path, args...) //nolint:noctx // the caller ends it
	cmd.ExtraFiles = files
	return start(cmd)
}

// StartStd is Start for a program that closes every other descriptor: it has in as
// its standard input and, unless that is nil, out as its output.
func StartStd(path string, args []string, in, out *os.File) (*Process, error) {
	cmd := exec.Command(path, args...) //nolint:noctx // the caller ends it
	cmd.Stdin = in
	if out != nil {
		cmd.Stdout = out
	}
	return start(cmd)
}

func start(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	tail := &tail{max: 4096}
	cmd.Stderr = tail
	if cmd.Stdout == nil {
		cmd.Stdout = tail
	}
	p := &Process{name: cmd.Path, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The signal at our death follows this thread (PR_SET_PDEATHSIG, prctl(2)).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.proc = cmd.Process
		started <- nil
		p.ended(cmd.Wait(), tail)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	return p, nil
}

func (p *Process) ended(err error, said *tail) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closing {
		if err == nil {
			err = errors.New("exit status 0")
		}
		p.err = fmt.Errorf("%s: ended: %w%s", p.name, err, said)
	}
	close(p.done)
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says why the program ended by itself.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Close ends the program and waits for it.
func (p *Process) Close() error {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	_ = p.proc.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.proc.Kill()
		<-p.done
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	max int
	buf bytes.Buffer
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(b)
	if over := t.buf.Len() - t.max; over > 0 {
		t.buf.Next(over)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := strings.TrimSpace(t.buf.String()); s != "" {
		return ": " + s
	}
	return ""
}
