// Package carrier runs the program that carries a container's network, the first time
// and again.
//
// # Theory of operation
//
// A Plan is all that it takes, so that whoever looks after the container can start the
// program anew when something has killed it: the interface is gone with the program,
// and the next one makes it as it was. Connections of the container that existed are
// lost.
//
// The program is told that its network namespace, a pipe to write to when it is ready,
// and the directory for its socket are descriptors. It dies with the thread that
// started it.
//
// The package is in memory as long as a container runs, and imports little.
package carrier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

// Descriptors of the program.
const (
	NetNSFD = 3 // the container's network namespace
	ReadyFD = 4 // the pipe that hears when it is ready
	DirFD   = 5 // the directory for its socket
)

// SocketName is where slirp4netns listens for requests, in the directory.
const SocketName = "slirp4netns"

// patience is how long a program may take until it is ready, and answer how long to
// do what it is asked for.
const (
	patience = 30 * time.Second
	answer   = 5 * time.Second
)

// Plan says how the program is run.
type Plan struct {
	Path     string    // of the program
	Args     []string  // argv
	Dir      string    // of the container for this boot: log and socket
	PID      int       // of the container's first process
	SkipDAD  bool      `json:",omitempty"` // sys.SkipDAD
	Requests []Request `json:",omitempty"` // for its socket, once it is ready
}

// Request is one that slirp4netns gets (slirp4netns(1), "API SOCKET").
type Request struct {
	What string // is asked for, for errors
	JSON json.RawMessage
}

// Log is where the program's output is.
func (p Plan) Log() string { return filepath.Join(p.Dir, p.Args[0]+".log") }

// Start returns when the program carries the network. os.ErrNotExist: the container's
// first process is gone.
func (p Plan) Start(ctx context.Context) (_ *sys.Child, err error) {
	ns, err := os.Open("/proc/" + strconv.Itoa(p.PID) + "/ns/net")
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	if p.SkipDAD {
		sys.SkipDAD(ns)
	}
	ready, proc, err := p.run(ns)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", p.Args[0], err)
	}
	defer ready.Close()
	if err = await(ctx, ready); err != nil {
		err = fmt.Errorf("%s: %w", p.Args[0], &EndedError{err})
	}
	for _, r := range p.Requests {
		if err == nil {
			err = p.ask(r)
		}
	}
	if err != nil {
		_ = proc.Kill() // it may have ended
		_, werr := proc.Wait()
		return nil, errors.Join(err, werr)
	}
	return proc, nil
}

// EndedError means that the program did not get ready. Its log may say why.
type EndedError struct{ Err error }

func (e *EndedError) Error() string { return e.Err.Error() }
func (e *EndedError) Unwrap() error { return e.Err }

// run starts the program. ready is written to when it is ready, and closed when it
// ends.
func (p Plan) run(ns *os.File) (ready *os.File, proc *sys.Child, err error) {
	var files []*os.File
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	open := func(name string, flag int) *os.File {
		f, oerr := os.OpenFile(name, flag|syscall.O_NOFOLLOW, 0o600)
		if oerr == nil {
			files = append(files, f)
		}
		err = errors.Join(err, oerr)
		return f
	}
	null, out := open(os.DevNull, os.O_RDONLY), open(p.Log(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	at := open(p.Dir, os.O_RDONLY|syscall.O_DIRECTORY)
	if err != nil {
		return nil, nil, err
	}
	ready, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	files = append(files, w)
	_ = os.Remove(filepath.Join(p.Dir, SocketName)) // of a run before
	proc, err = sys.StartChild(p.Path, p.Args, &os.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []*os.File{null, out, out, ns, w, at}, //nolint:forbidigo // handed on unread
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		_ = ready.Close()
	}
	return ready, proc, err
}

// await waits for the program to say that it is ready.
func await(ctx context.Context, ready *os.File) error {
	if err := ready.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := io.ReadFull(ready, make([]byte, 1))
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, io.EOF):
		return errors.New("it ended at once")
	}
	return err
}

// ask makes a request of the program.
func (p Plan) ask(r Request) error {
	c, err := sys.DialUnix(filepath.Join(p.Dir, SocketName))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(answer)); err != nil {
		return err
	}
	if _, err := c.Write(r.JSON); err != nil {
		return fmt.Errorf("%s: %w", r.What, err)
	}
	if err := sys.ShutdownWrite(c); err != nil {
		return fmt.Errorf("%s: %w", r.What, err)
	}
	var said struct {
		Error *struct {
			Desc string `json:"desc"`
		} `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(c, 1<<20)).Decode(&said); err != nil {
		return fmt.Errorf("%s: answer: %w", r.What, err)
	}
	if said.Error != nil {
		return fmt.Errorf("%s: %s", r.What, said.Error.Desc)
	}
	return nil
}
