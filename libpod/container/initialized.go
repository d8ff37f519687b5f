package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/monitor"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/sys"
)

// errNeverStarted means that an initialized container was ended.
var errNeverStarted = errors.New("the container was ended before its command was started")

// helloTime is how long a client may take to say what it wants.
const helloTime = 5 * time.Second

// hold tells the client that asked that all is ready, and waits for another one that
// wants the command to run: it is r.client then.
func (r *running) hold(ctx context.Context, o StartOptions) error {
	_ = o.Hold.WriteJSON(attach.Started, attach.Start{ID: r.c.ID, PID: r.run.PID}) // a client that is gone knows without
	o.Started()
	_ = o.Hold.Close()
	ended := make(chan struct{})
	var mu sync.Mutex
	holding := true
	defer func() { // from now on the socket is the monitor's, however soon the command ends
		mu.Lock()
		defer mu.Unlock()
		holding = false
	}()
	go func() {
		defer close(ended)
		for !sys.Ended(r.first, time.Hour) {
		}
		mu.Lock()
		defer mu.Unlock()
		if holding {
			r.listen.Close()
		}
	}()
	stop := context.AfterFunc(ctx, func() { r.listen.Close() })
	defer stop()
	for {
		client, err := sys.Accept(r.listen)
		if errors.Is(err, os.ErrClosed) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			<-ended
			return errNeverStarted
		}
		if err != nil {
			return err
		}
		if r.client = greet(client); r.client == nil {
			client.Close()
			continue
		}
		r.run.Initialized, r.run.Started = false, time.Now()
		return errors.Join(r.c.Reload(), r.c.WriteRun(r.run)) // "update" may have changed how its health is checked
	}
}

// starter is the client for whom an initialized container is started.
type starter struct {
	file  *os.File
	conn  *attach.Conn
	leave bool // as soon as the command runs
}

// greet hears what a client wants. Only the start can be had.
func greet(client *os.File) *starter {
	if err := client.SetReadDeadline(time.Now().Add(helloTime)); err != nil {
		return nil
	}
	s := &starter{file: client, conn: attach.New(client)}
	t, p, err := s.conn.Read()
	var hello monitor.Hello
	if err != nil || t != attach.Open || json.Unmarshal(p, &hello) != nil || !hello.Start {
		return nil
	}
	if client.SetReadDeadline(time.Time{}) != nil {
		return nil
	}
	s.leave = hello.Leave
	return s
}

// takeOver makes the client of an initialized container the one that Run works for.
func (s *starter) takeOver(o *StartOptions) *attach.Conn {
	o.Control, o.Detach = s.file, s.leave
	return s.conn
}

// told has the failure of a start told to whoever asked for it.
func (s *starter) told(exit attach.Exit) {
	_ = s.conn.WriteJSON(attach.Exited, exit) // it may have left
	_ = s.conn.Close()
}

// Begin has the command of an initialized container run, for a client that says
// hello. The Started frame is the next to be read.
func Begin(c *state.Container, hello monitor.Hello) (*attach.Conn, error) {
	f, err := monitor.Dial(c)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	conn := attach.New(f)
	hello.Start = true
	if err := conn.WriteJSON(attach.Open, hello); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.Name, err), conn.Close())
	}
	return conn, nil
}
