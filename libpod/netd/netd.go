// Package netd is the process of a network: it holds the network's namespace with
// its bridge, runs the user-mode stack at the end of the TAP, and listens for the
// published ports.
//
// # Theory of operation
//
// Package member says how the process is found, started and asked. It gets a
// listening socket and a directory, no configuration: that comes with the first
// member. Before that it does nothing, so a process that nobody needs after all
// ends as it began.
//
//	host's namespaces              the network's namespace    a container's
//	nook-net: stack ── TAP fd ──── tap0 ┐
//	   sockets of flows                 br0 ── nXXXXXXXXXXXX ── eth0
//	   listeners of ports
//
// Each connection is served by a goroutine; what changes members is done by one at
// a time. A member is what its connection is: when that closes, its ports, its
// interface and its names go. A container that joins while an earlier membership of
// its own is not closed yet takes that one's place.
//
// A process that takes over from one that was killed finds members in the file
// that the former kept, and waits for the first of them that has the namespace. If
// none comes in time it makes a new one; members that come later with the old
// one are moved over, with the same addresses.
//
// With the last member the process waits a while for another, and ends.
package netd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nook-containers/nook/libpod/events"
	"github.com/nook-containers/nook/libpod/netd/member"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/pkg/bridge"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/slirp"
)

// Times.
const (
	grace   = 2 * time.Second        // without members, before the process ends
	inherit = time.Second            // for a former process's member to bring the namespace
	handOff = 200 * time.Millisecond // for a port whose holder is just leaving
	settled = 500 * time.Millisecond // without a change, and
	quiet   = 2 * time.Second        // without a frame from a guest, before memory is given back
	// noteAfter is how long after a change the list of members is written: changes
	// come in crowds, and nobody waits for it.
	noteAfter = 20 * time.Millisecond
)

// server is the process.
type server struct {
	dir    string
	listen *os.File
	ctx    context.Context //nolint:containedctx // the life of the process

	mu       sync.Mutex // one change of what follows at a time
	network  spec.Network
	ns       *os.File // nil: not yet
	bridge   *bridge.Switch
	stack    slirp.Network
	guests   *guests
	events   events.Log
	members  map[string]*membership // by id
	inherits chan struct{}          // closed when a member has brought the namespace
	conns    int                    // being served
	idle     *time.Timer
	settle   *time.Timer
	rester   *sys.Rester
	frames   uint64 // from the guests, when it was last asked
	garbage  garbage
	notes    *time.Timer
	log      *slog.Logger
	done     chan struct{} // closed when the process ends
}

// membership is a member that is there.
type membership struct {
	member.Member

	conn   *sys.PacketConn
	rights *rights
	port   uint32 // at the bridge
	ports  []slirp.Port
	gone   chan struct{} // closed when it is not there any more
}

// Serve is the process of the network in dir, which clients reach at listen. It
// returns when nobody needs it any more.
func Serve(ctx context.Context, dir string, listen *os.File) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{
		dir: dir, listen: listen, ctx: ctx, members: map[string]*membership{}, guests: newGuests(),
		inherits: make(chan struct{}), done: make(chan struct{}), rester: sys.NewRester(),
		log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	s.notes = time.AfterFunc(grace, s.writeNote)
	s.idle = time.AfterFunc(grace, s.rest)
	s.settle = time.AfterFunc(settled, s.calm)
	go s.accept()
	select {
	case <-s.done:
	case <-ctx.Done(): // told to end: members start another
	}
	return s.close()
}

// stir has the process become calm again, after a frame of a guest. It is called in
// the stack's loop, for which others wait that hold mu.
func (s *server) stir() {
	s.settle.Reset(quiet)
	s.garbage.wake()
}

// calm gives back the memory that only a start needs, or traffic, once the guests are
// done with what they say.
func (s *server) calm() {
	s.mu.Lock()
	stack, frames := s.stack, s.frames
	if stack != nil {
		frames = stack.Stats().FramesIn
	}
	if frames != s.frames {
		s.frames = frames
		s.settle.Reset(quiet)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.garbage.rest()
	if stack != nil {
		stack.Calm()
	}
	s.garbage.sweep(frames)
	s.rester.Now()
}

// acceptPause is how long a client waits while the process can open nothing.
const acceptPause = 50 * time.Millisecond

func (s *server) accept() {
	for {
		f, err := sys.Accept(s.listen)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil { // no descriptor or no memory is left
			<-time.After(acceptPause)
			continue
		}
		s.begin(f)
	}
}

// begin serves a connection.
func (s *server) begin(f *os.File) {
	s.mu.Lock()
	s.conns++
	s.mu.Unlock()
	s.garbage.wake()
	go s.serve(sys.NewPacketConn(f))
}

// serve answers requests until the connection closes.
func (s *server) serve(conn *sys.PacketConn) {
	var joined *membership
	defer func() {
		_ = conn.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conns--
		s.drop(joined)
		if s.conns == 0 {
			s.idle.Reset(s.patience())
		}
		s.settle.Reset(settled)
	}()
	for {
		msg, files, err := conn.Receive(member.MaxMessage, 2)
		if err != nil {
			return
		}
		var r member.Request
		if err := json.Unmarshal(msg, &r); err != nil {
			closeAll(files)
			return // it does not speak our language
		}
		reply, give := s.do(conn, &joined, r, files)
		closeAll(files)
		data, err := json.Marshal(reply)
		if err != nil || conn.Send(data, give...) != nil {
			return
		}
		s.settle.Reset(settled) // the guest's first frames may have been long before
	}
}

// patience is how long to wait for members: not at all if none can be served.
func (s *server) patience() time.Duration {
	if s.stack == nil {
		return 0
	}
	return grace
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// do does what r asks. What give returns goes with the reply.
func (s *server) do(conn *sys.PacketConn, joined **membership, r member.Request, files []*os.File) (reply member.Reply, give []*os.File) {
	var err error
	switch r.Op {
	case member.Join:
		if *joined != nil {
			err = errors.New("join: twice on one connection")
			break
		}
		*joined, err = s.join(conn, r, files)
		if err == nil {
			reply.Ports, give = publicPorts((*joined).ports), []*os.File{s.ns}
			reply.Limited = r.Limited()
		}
	case member.Prepare:
		err = s.prepare(r)
	case member.Namespace:
		if err = s.prepare(r); err == nil {
			give = []*os.File{s.ns}
		}
	case member.Leave:
		err = s.leave(*joined, r.Of)
	case member.Publish, member.Unpublish:
		reply.Ports, err = s.changePorts(*joined, r)
	case member.Show:
		reply.State = s.state()
	default:
		err = &codeError{member.CodeOp, fmt.Errorf("operation %q is unknown", r.Op)}
	}
	reply.Version = member.Version
	if err != nil {
		explain(&reply, err)
	}
	return reply, give
}

// explain puts err into reply.
func explain(reply *member.Reply, err error) {
	reply.Error, reply.Hint = err.Error(), problem.HintOf(err)
	if c, ok := errors.AsType[*codeError](err); ok {
		reply.Code = c.code
	}
	if b, ok := errors.AsType[*busyError](err); ok {
		reply.Code, reply.Busy = member.CodeBusy, &b.port
	}
}

// leave ends a membership.
func (s *server) leave(joined *membership, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.of(joined, id)
	if m == nil {
		return errGone
	}
	s.drop(m)
	return nil
}

// codeError has a code of package member.
type codeError struct {
	code string
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

var errGone = &codeError{member.CodeGone, errors.New("not a member of the network")}

// of finds the member that a request is about.
func (s *server) of(joined *membership, id string) *membership {
	if id == "" {
		return joined
	}
	return s.members[id]
}

// rest ends the process unless somebody needs it.
func (s *server) rest() {
	lock, err := member.OpenLock(s.dir)
	if err != nil {
		s.finish() // the directory is gone: nobody finds us any more
		return
	}
	defer lock.Close()
	if sys.TryLock(lock) != nil { // somebody is about to come
		s.idle.Reset(grace)
		return
	}
	s.mu.Lock()
	busy := s.conns > 0
	s.mu.Unlock()
	if f, err := sys.AcceptNow(s.listen); err == nil && f != nil {
		s.begin(f)
		busy = true
	}
	if busy {
		return // its end starts the timer again
	}
	_ = os.Remove(member.SocketPath(s.dir)) // whoever still finds it is refused
	s.finish()
}

func (s *server) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
	default:
		close(s.done)
	}
}

// close ends what is left.
func (s *server) close() error {
	s.rester.End()
	errs := []error{s.listen.Close()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stack != nil {
		errs = append(errs, s.stack.Close(), s.bridge.Close(), s.ns.Close())
	}
	return errors.Join(errs...)
}

// state is what Show answers.
func (s *server) state() *member.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &member.State{PID: os.Getpid(), Network: s.network.ID, Members: []member.Present{}}
	for _, m := range s.members {
		st.Members = append(st.Members, member.Present{Member: m.Member, Ports: publicPorts(m.ports)})
	}
	if s.stack != nil {
		x := s.stack.Stats()
		st.Stats = &member.Stats{
			BytesIn: x.BytesIn, BytesOut: x.BytesOut, FramesIn: x.FramesIn, FramesOut: x.FramesOut,
			TCP: x.TCP.Active, UDP: x.UDP.Active, DNSQueries: x.DNSQueries,
		}
	}
	return st
}
